//! What is known of the address of an event, kept for the next event from there.

use std::sync::Arc;

use super::address::address;
use super::atlas::{Atlas, Loaded};

/// Addresses that are kept, each in the place that its hash tells.
const KEPT: usize = 1_024;
/// What is longer is no address, but a list that hardly comes again, in bytes.
const LONGEST: usize = 64;

/// What is known of where an address is from.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Place {
    /// The ISO code: `DE`.
    pub country: Option<Box<str>>,
    /// In English.
    pub city: Option<Box<str>>,
    /// The number of the autonomous system.
    pub asn: Option<u64>,
    /// Whose that is.
    pub as_org: Option<Box<str>>,
    /// Service and region, of AWS's own addresses.
    pub aws: Option<Box<str>>,
}

/// A part of that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Part {
    Country,
    City,
    Asn,
    AsOrg,
    Aws,
}

impl Place {
    /// A part that is a text.
    pub fn text(&self, part: Part) -> Option<&str> {
        match part {
            Part::Country => self.country.as_deref(),
            Part::City => self.city.as_deref(),
            Part::AsOrg => self.as_org.as_deref(),
            Part::Aws => self.aws.as_deref(),
            Part::Asn => None,
        }
    }
}

/// What is known of addresses, for one thread.
pub(crate) struct Places {
    atlas: Arc<Atlas>,
    /// What was loaded when the kept ones were looked up.
    loaded: Option<Arc<Loaded>>,
    generation: u64,
    kept: Vec<Option<(Box<[u8]>, Place)>>,
    /// Of one that is not kept.
    last: Place,
}

impl Default for Places {
    /// Nothing is known.
    fn default() -> Self {
        Self::new(&Arc::default())
    }
}

impl Places {
    pub fn new(atlas: &Arc<Atlas>) -> Self {
        Self {
            atlas: Arc::clone(atlas),
            loaded: None,
            generation: 0,
            kept: Vec::new(),
            last: Place::default(),
        }
    }

    /// Is there any database?
    #[inline]
    pub fn are_known(&self) -> bool {
        self.atlas.generation() != 0
    }

    /// Where the address in `sourceIPAddress` is from. None where no database is there, and of what is no address.
    #[inline]
    pub fn find(&mut self, text: &[u8]) -> Option<&Place> {
        let generation = self.atlas.generation();
        if generation == 0 {
            return None;
        }
        if generation != self.generation {
            self.renew(generation);
        }
        let at = slot(text);
        let is_kept = matches!(self.kept.get(at), Some(Some((key, _))) if **key == *text);
        if !is_kept {
            return self.look_up(text, at);
        }
        self.kept[at].as_ref().map(|(_, place)| place)
    }

    #[cold]
    fn renew(&mut self, generation: u64) {
        self.loaded = self.atlas.loaded();
        self.generation = generation;
        self.kept.clear();
        self.kept.resize(KEPT, None);
    }

    #[inline(never)]
    fn look_up(&mut self, text: &[u8], at: usize) -> Option<&Place> {
        let place = match (address(text), &self.loaded) {
            (Some(address), Some(loaded)) => loaded.find(address, &self.atlas),
            _ => Place::default(),
        };
        if text.len() > LONGEST {
            self.last = place;
            return Some(&self.last);
        }
        let (_, place) = self.kept.get_mut(at)?.insert((text.into(), place));
        Some(place)
    }
}

/// Where it is kept.
fn slot(text: &[u8]) -> usize {
    // FNV-1a; addresses of one network differ in their last bytes, which it spreads too little by itself.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in text {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    }
    let spread = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (spread >> 40) as usize % KEPT
}
