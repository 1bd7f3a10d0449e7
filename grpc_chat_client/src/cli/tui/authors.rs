//! Which author has which colour. Pure.

use std::collections::HashMap;

/// Names remembered. Beyond that all are forgotten and colours assigned again, so that memory stays bounded.
const REMEMBERED: usize = 1_000;

/// How many of the last authors a newcomer's colour must not resemble.
const RECENT: usize = 3;

/// How far apart similar colours are at most: palettes are ordered by hue.
const ALIKE: usize = 2;

/// The colour of every author that has been seen.
///
/// An author prefers the colour given by the hash of the name, the same on every screen. If another author has it, or one
/// who has just spoken has a similar one, the next colour is tried. If all are taken, the author shares the one whose
/// authors have been silent the longest. So authors who talk to each other look different.
#[derive(Clone, Debug)]
pub(crate) struct Authors {
    slots: HashMap<String, usize>,
    /// When an author of each colour was last seen; 0 if it has none.
    last_seen: Vec<u64>,
    clock: u64,
}

impl Authors {
    /// Returns an assignment of this many colours, at least one.
    pub(crate) fn new(colours: usize) -> Self {
        Self { slots: HashMap::new(), last_seen: vec![0; colours.max(1)], clock: 0 }
    }

    /// Records a message of an author, who is assigned a colour if they have none.
    pub(crate) fn see(&mut self, name: &str) {
        self.clock += 1;
        let slot = match self.slots.get(name) {
            Some(slot) => *slot,
            None => {
                if self.slots.len() >= REMEMBERED {
                    self.slots.clear();
                    self.last_seen.fill(0);
                }
                let slot = self.free_slot(name);
                self.slots.insert(name.to_owned(), slot);
                slot
            }
        };
        self.last_seen[slot] = self.clock;
    }

    /// Returns the number of the author's colour.
    pub(crate) fn slot(&self, name: &str) -> usize {
        self.slots.get(name).copied().unwrap_or_else(|| self.preferred(name))
    }

    fn free_slot(&self, name: &str) -> usize {
        let (preferred, count) = (self.preferred(name), self.last_seen.len());
        let recent = self.recent();
        let apart = |one: usize, other: usize| one.abs_diff(other).min(count - one.abs_diff(other));
        let unlike = |slot: usize| recent.iter().all(|other| apart(slot, *other) > ALIKE);
        let in_turn = || (0..count).map(|step| (preferred + step) % count);
        let free = || in_turn().filter(|slot| self.last_seen[*slot] == 0);
        let longest_silent = || in_turn().min_by_key(|slot| self.last_seen[*slot]);
        free().find(|slot| unlike(*slot)).or_else(|| free().next()).or_else(longest_silent).unwrap_or_default()
    }

    /// The colours of the last authors.
    fn recent(&self) -> Vec<usize> {
        let mut used: Vec<usize> = (0..self.last_seen.len()).filter(|slot| self.last_seen[*slot] > 0).collect();
        used.sort_by_key(|slot| std::cmp::Reverse(self.last_seen[*slot]));
        used.truncate(RECENT);
        used
    }

    fn preferred(&self, name: &str) -> usize {
        // FNV-1a: the standard library's hasher does not promise to stay as it is.
        let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        hash as usize % self.last_seen.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn as_many_authors_as_there_are_colours_all_differ() {
        let names = ["ann", "sam", "kim", "joe", "mia", "bob", "eve", "leo"];
        let mut authors = Authors::new(names.len());
        names.iter().for_each(|name| authors.see(name));
        let slots: HashSet<usize> = names.iter().map(|name| authors.slot(name)).collect();
        assert_eq!(slots.len(), names.len());
        names.iter().rev().for_each(|name| authors.see(name));
        assert_eq!(slots, names.iter().map(|name| authors.slot(name)).collect(), "a colour is kept");
    }

    #[test]
    fn authors_who_talk_to_each_other_have_colours_that_do_not_look_alike() {
        for names in [["ann", "sam", "kim"], ["joe", "kim", "ann"], ["a", "b", "c"]] {
            let mut authors = Authors::new(16);
            names.iter().for_each(|name| authors.see(name));
            let [one, other, third] = names.map(|name| authors.slot(name));
            for (one, other) in [(one, other), (other, third), (third, one)] {
                assert!((3..=13).contains(&one.abs_diff(other)), "{names:?}: {one} {other}");
            }
        }
    }

    #[test]
    fn a_newcomer_gets_the_colour_of_those_who_have_been_silent_the_longest() {
        let mut authors = Authors::new(3);
        for name in ["ann", "sam", "kim", "ann", "kim"] {
            authors.see(name);
        }
        authors.see("joe");
        assert_eq!(authors.slot("joe"), authors.slot("sam"));
    }

    #[test]
    fn the_number_of_remembered_names_is_bounded() {
        let mut authors = Authors::new(16);
        (0..10 * REMEMBERED).for_each(|n| authors.see(&n.to_string()));
        assert!(authors.slots.len() <= REMEMBERED);
    }
}
