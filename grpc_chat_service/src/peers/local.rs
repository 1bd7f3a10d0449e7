//! Nodes in one process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::{NodeId, Peers, Signal};

/// Signals that may wait for a node. Further ones are lost.
const MAX_WAITING: usize = 1_024;

/// Connects nodes in one process with each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct LocalNetwork {
    nodes: Arc<Mutex<Vec<Node>>>,
}

#[derive(Debug)]
struct Node {
    id: NodeId,
    signals: mpsc::Sender<(NodeId, Signal)>,
}

/// The connection of one node.
#[derive(Debug)]
pub(crate) struct LocalPeers {
    network: LocalNetwork,
    node: NodeId,
}

impl LocalNetwork {
    /// Connects a new node.
    pub(crate) fn join(&self) -> LocalPeers {
        LocalPeers { network: self.clone(), node: NodeId(fastrand::u64(..)) }
    }

    /// Short lock, never held across an await.
    fn lock(&self) -> MutexGuard<'_, Vec<Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peers for LocalPeers {
    fn send(&self, signal: Signal) {
        self.network.lock().retain(|node| {
            // A full channel loses the signal, which its receiver notices; a closed one belongs to a node that has stopped.
            let lost = || node.signals.try_send((self.node, signal.clone())).err();
            node.id == self.node || !matches!(lost(), Some(mpsc::error::TrySendError::Closed(_)))
        });
    }

    fn receive(&self) -> mpsc::Receiver<(NodeId, Signal)> {
        let (signals, received) = mpsc::channel(MAX_WAITING);
        self.network.lock().push(Node { id: self.node, signals });
        received
    }
}

impl Drop for LocalPeers {
    fn drop(&mut self) {
        self.network.lock().retain(|node| node.id != self.node);
    }
}
