//! Whose turn it is: networks in turn, and within a network its accounts.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// How many of its accounts are served before it is another network's turn. Names are free while callers are not
/// authenticated, so accounts alone would let one network have as many turns as it likes.
const TURNS_OF_NETWORK: u32 = 8;

/// How many networks with nobody waiting are remembered at least.
const MAX_IDLE: usize = 1_024;

/// Those who wait, each once.
#[derive(Debug)]
pub(crate) struct Rotation<T> {
    networks: HashMap<IpAddr, VecDeque<T>>,
    /// The networks with somebody waiting, the next one first.
    order: VecDeque<IpAddr>,
    /// How many of the next network have been served in its turn.
    served: u32,
    len: usize,
}

impl<T> Rotation<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds somebody, behind the others of the same network.
    pub(crate) fn push(&mut self, network: IpAddr, member: T) {
        if self.networks.len() >= MAX_IDLE.max(2 * self.order.len()) && !self.networks.contains_key(&network) {
            self.networks.retain(|_, members| !members.is_empty());
        }
        let members = self.networks.entry(network).or_default();
        if members.is_empty() {
            self.order.push_back(network);
        }
        members.push_back(member);
        self.len += 1;
    }

    /// Removes the next one.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let network = *self.order.front()?;
        let members = self.networks.get_mut(&network)?;
        let member = members.pop_front()?;
        self.len -= 1;
        self.served += 1;
        if members.is_empty() {
            self.order.pop_front();
            self.served = 0;
        } else if self.served == TURNS_OF_NETWORK {
            self.order.rotate_left(1);
            self.served = 0;
        }
        Some(member)
    }

    /// Changes everybody who waits.
    pub(crate) fn for_each(&mut self, mut change: impl FnMut(&mut T)) {
        self.networks.values_mut().flatten().for_each(&mut change);
    }
}

impl<T> Default for Rotation<T> {
    fn default() -> Self {
        Self { networks: HashMap::new(), order: VecDeque::new(), served: 0, len: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(last: u16) -> IpAddr {
        [10, 0, (last / 256) as u8, (last % 256) as u8].into()
    }

    #[test]
    fn networks_take_turns_and_each_serves_its_members_in_order() {
        let mut rotation = Rotation::default();
        for n in 0..20 {
            rotation.push(network(1), n);
        }
        rotation.push(network(2), 100);
        rotation.push(network(3), 200);
        rotation.push(network(3), 201);
        assert_eq!(rotation.len(), 23);
        let order: Vec<_> = std::iter::from_fn(|| rotation.pop()).collect();
        let expected: Vec<_> = (0..8).chain([100, 200, 201]).chain(8..20).collect();
        assert_eq!(order, expected);
        assert!(rotation.is_empty());
    }

    #[test]
    fn whoever_comes_back_at_once_waits_for_the_other_networks() {
        let mut rotation = Rotation::default();
        rotation.push(network(1), 'a');
        rotation.push(network(2), 'b');
        let mut order = String::new();
        for _ in 0..6 {
            let next = rotation.pop().unwrap();
            rotation.push(network(if next == 'a' { 1 } else { 2 }), next);
            order.push(next);
        }
        assert_eq!(order, "ababab");
    }

    #[test]
    fn networks_with_nobody_waiting_are_forgotten() {
        let mut rotation = Rotation::default();
        for n in 0..u16::MAX {
            rotation.push(network(n), n);
            assert_eq!(rotation.pop(), Some(n));
        }
        assert!(rotation.networks.len() <= MAX_IDLE);
    }
}
