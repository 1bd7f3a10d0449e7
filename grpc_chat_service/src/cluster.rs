//! Several nodes in one process: one store in memory, and a network between the nodes.

use crate::history::memory::MemoryStore;
use crate::peers::local::LocalNetwork;

/// What the nodes of one process share. Servers that are configured with clones of it serve the same rooms; for tests.
#[derive(Clone, Debug, Default)]
pub struct MemoryCluster {
    /// What is stored.
    pub store: MemoryStore,
    pub(crate) network: LocalNetwork,
}

impl MemoryCluster {
    /// Creates a cluster over a store.
    #[must_use]
    pub fn new(store: MemoryStore) -> Self {
        Self { store, network: LocalNetwork::default() }
    }
}
