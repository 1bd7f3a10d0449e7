//! Histories that were restored from a copy of the whole data directory, and have gone on differently since.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;

use tempfile::TempDir;

use crate::network::Network;
use crate::support::{Running, Service, chat, command};

/// Copies a data directory, as an operator does.
pub(crate) fn copy(data: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(data).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn tail_reports_a_history_that_was_restored_and_has_gone_on_differently() {
    // The restored history goes beyond what the reader has seen, or ends there.
    for texts in [&["C", "D"][..], &["C"]] {
        let [data, state] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let service = Service::start_on(data.path());
        let network = Network::before(service.address()).await;
        let resume = || {
            let mut command = command();
            let args = ["--server", &network.url(), "tail", "general", "--resume", "--json", "--state"];
            Running::start(command.args(args).arg(state.path()))
        };
        chat(&service, &["send", "general", "A"]);
        service.stop();
        let backup = copy(data.path());
        let service = Service::start_on(data.path());
        network.redirect(service.address());
        chat(&service, &["send", "general", "B"]);
        let mut tail = resume();
        assert_eq!([tail.json(), tail.json()].map(|event| event["text"].clone()), ["A", "B"]);
        assert_eq!(tail.interrupt(), Some(130));
        service.stop();

        let service = Service::start_on(backup.path());
        network.redirect(service.address());
        for text in texts {
            chat(&service, &["send", "general", text]);
        }
        let mut tail = resume();
        let (reset, head) = (tail.json(), 1 + texts.len());
        let reason = "the service's history was restored, and has gone on differently since";
        assert_eq!([&reset["type"], &reset["reason"]], ["reset", reason], "{reset}");
        assert_eq!(reset["seq"], head);
        chat(&service, &["send", "general", "next"]);
        assert_eq!(tail.json()["text"], "next");
        let mut noted = String::new();
        BufReader::new(tail.child.stderr.take().unwrap()).read_line(&mut noted).unwrap();
        let then = format!("what follows begins after event {head}, and `history` has what is before");
        assert_eq!(noted, format!("grpc_chat_client: {reason}; {then}\n"));
        assert_eq!(tail.interrupt(), Some(130));
        chat(&service, &["send", "general", "last"]);
        assert_eq!(resume().json()["text"], "last", "from here on it resumes as ever");
    }
}
