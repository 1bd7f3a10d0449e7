//! Who can reach the files of a store, and what they may be.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use super::*;

/// The permissions of everything in a directory.
fn modes(dir: &Path) -> Vec<(String, u32)> {
    let files = fs::read_dir(dir).unwrap().map(Result::unwrap);
    files.map(|file| (file.file_name().into_string().unwrap(), mode(&file.path()))).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn files_are_for_their_owner_only_also_in_a_directory_for_everyone() {
    let dir = tempfile::tempdir().unwrap();
    set_mode(dir.path(), 0o755);
    let history = open(dir.path());
    append_each(&history, 1..=3).await;
    let open_files = modes(dir.path());
    assert_eq!(open_files.len(), 5, "{open_files:?}");
    assert!(open_files.iter().all(|(_, mode)| *mode == 0o600), "{open_files:?}");
    history.close().await;

    // As an earlier version left them, after a crash.
    let image = crashed_with(3).await;
    for (name, _) in modes(image.path()) {
        set_mode(&image.path().join(name), 0o644);
    }
    let history = open(image.path());
    append_each(&history, 4..=5).await;
    assert!(modes(image.path()).iter().all(|(_, mode)| *mode == 0o600), "{:?}", modes(image.path()));
    assert_eq!(read(&history).await.unwrap().len(), 5);
    history.close().await;
}

#[tokio::test]
async fn a_directory_that_is_created_is_for_its_owner_only() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("made/for/it");
    open(&dir).close().await;
    assert_eq!(mode(&dir), 0o700);
}

#[tokio::test]
async fn symbolic_links_are_not_followed() {
    let elsewhere = closed_with(1).await;
    for name in ["history.db", "history.db-wal", "history.db-shm", "history.mark", "lock"] {
        let dir = closed_with(1).await;
        let target = elsewhere.path().join("precious");
        fs::write(&target, "precious").unwrap();
        fs::remove_file(dir.path().join(name)).ok();
        symlink(&target, dir.path().join(name)).unwrap();
        assert_eq!(
            refused(dir.path()),
            format!(
                "has a symbolic link named {name}, which is not followed: put the file itself there, or name its \
                 directory with --data"
            )
        );
        assert_eq!(fs::read(&target).unwrap(), b"precious", "{name}");
        // A link to nothing creates nothing.
        fs::remove_file(&target).unwrap();
        assert!(refused(dir.path()).starts_with(&format!("has a symbolic link named {name}")));
        assert!(!target.exists(), "{name}");
    }
}

#[tokio::test]
async fn what_is_not_a_file_is_refused() {
    let dir = closed_with(1).await;
    fs::remove_file(dir.path().join("history.mark")).unwrap();
    assert!(Command::new("mkfifo").arg(dir.path().join("history.mark")).status().unwrap().success());
    let sentence = "has something named history.mark that is not a file: move it away, or choose another directory";
    assert_eq!(refused(dir.path()), sentence);
}

#[tokio::test]
async fn the_directory_itself_may_be_reached_through_a_link() {
    let dir = closed_with(2).await;
    let parent = tempfile::tempdir().unwrap();
    let link = parent.path().join("data");
    symlink(dir.path(), &link).unwrap();
    let history = open(&link);
    // Where the link leads later changes nothing.
    fs::remove_file(&link).unwrap();
    append_each(&history, 3..=3).await;
    assert_eq!(read(&history).await, Ok(vec![1, 2, 3]));
    history.close().await;
    assert_eq!(read(&open(dir.path())).await, Ok(vec![1, 2, 3]));
}
