//! The file that says which rooms the user is in, for the next run.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use grpc_chat_client::RoomId;

/// Reads the file, which has one room a line. One that does not exist, or is no list of rooms, has none.
pub(crate) fn read(path: &Path) -> Vec<RoomId> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|room| room.parse().ok()).collect()
}

/// Replaces the file. It is small and not synced, so that nobody waits for the disk.
pub(crate) fn write(path: &Path, rooms: &[&RoomId]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.write(true).create(true).truncate(true).open(&new)?;
    file.write_all(rooms.iter().map(|room| format!("{room}\n")).collect::<String>().as_bytes())?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_readable_by_its_owner_alone_and_names_only_rooms() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sam%rooms.txt");
        assert!(read(&path).is_empty());
        let rooms = ["general", "team/ops"].map(|room| room.parse().unwrap());
        write(&path, &rooms.each_ref()).unwrap();
        assert_eq!(read(&path), ["general", "team/ops"]);
        #[cfg(unix)]
        {
            let permissions = fs::metadata(&path).unwrap().permissions();
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o777, 0o600);
        }
        fs::write(&path, "general\n\u{1b}[2J\n//\n").unwrap();
        assert_eq!(read(&path), ["general"]);
    }
}
