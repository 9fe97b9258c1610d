//! One part of a data set, trained on or held out, by the numbers of its examples.

use crate::batch::Shape;
use crate::crop::Window;
use crate::decode::{Damage, Decoded, Wanted, decode_part};
use crate::{DataError, Examples, Label, Passed};

/// Pictures of one size, held in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// Pixels: picture by picture, channel by channel, row by row.
    pub pixels: Vec<u8>,
    /// Class of each picture.
    pub labels: Vec<u8>,
    /// The shape of each.
    pub shape: Shape,
}

/// The examples of one part, by number.
pub struct Split {
    store: Store,
    kept: Option<Kept>,
}

enum Store {
    Raw(Raw),
    Encoded { examples: Box<Examples>, channels: usize },
}

/// Some of the classes, numbered anew.
#[derive(Debug)]
struct Kept {
    /// Number in the store of each example that is kept.
    ids: Vec<u64>,
    /// The classes, in the order of their new numbers.
    classes: Vec<u32>,
}

/// A picture as it is stored.
pub(crate) enum Picture<'a> {
    /// Channel by channel, of this shape.
    Raw(&'a [u8], Shape),
    /// Decoded into the caller's memory, and the part of it that was wanted.
    Decoded(&'a Decoded, Window),
}

/// Memory that is used again from picture to picture.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    file: Vec<u8>,
    decoded: Decoded,
}

/// What a thread keeps from one picture to the next; a larger one's memory is given back.
const KEPT_BYTES: usize = 16 << 20;

impl Memory {
    /// Gives back what a large picture has taken.
    pub(crate) fn forget_large(&mut self) {
        if self.file.capacity() > KEPT_BYTES {
            self.file = Vec::new();
        }
        if self.decoded.pixels.capacity() > KEPT_BYTES {
            self.decoded = Decoded::default();
        }
    }
}

impl Split {
    /// Pictures in memory.
    pub fn raw(raw: Raw) -> Split {
        Split { store: Store::Raw(raw), kept: None }
    }

    /// Encoded pictures, which become grey (1) or colour (3).
    pub fn encoded(examples: Examples, channels: usize) -> Split {
        Split { store: Store::Encoded { examples: Box::new(examples), channels }, kept: None }
    }

    /// Number of examples.
    pub fn len(&self) -> u64 {
        match (&self.kept, &self.store) {
            (Some(kept), _) => kept.ids.len() as u64,
            (None, Store::Raw(raw)) => raw.labels.len() as u64,
            (None, Store::Encoded { examples, .. }) => examples.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether pictures are files that have to be decoded.
    pub fn is_encoded(&self) -> bool {
        matches!(self.store, Store::Encoded { .. })
    }

    /// 1 or 3.
    pub fn channels(&self) -> usize {
        match &self.store {
            Store::Raw(raw) => raw.shape.channels,
            Store::Encoded { channels, .. } => *channels,
        }
    }

    /// Height and width of all pictures; `None` where they differ.
    pub fn side(&self) -> Option<usize> {
        match &self.store {
            Store::Raw(raw) => Some(raw.shape.side),
            Store::Encoded { .. } => None,
        }
    }

    /// The classes of an example.
    ///
    /// # Errors
    /// If there is no such example, or its index cannot be read.
    pub fn label(&self, id: u64) -> Result<Label, DataError> {
        let stored = self.stored(id)?;
        let label = match &self.store {
            Store::Raw(raw) => Label::One(u32::from(*raw.labels.get(stored as usize).ok_or(DataError::NoExample(id))?)),
            Store::Encoded { examples, .. } => examples.label(stored)?,
        };
        match (label, &self.kept) {
            (Label::One(class), Some(kept)) => {
                let new = kept.classes.iter().position(|one| *one == class).ok_or(DataError::NoExample(id))?;
                Ok(Label::One(new as u32))
            }
            (label, _) => Ok(label),
        }
    }

    /// What people call an example.
    ///
    /// # Errors
    /// If there is no such example, or its index cannot be read.
    pub fn name(&self, id: u64) -> Result<String, DataError> {
        let stored = self.stored(id)?;
        match &self.store {
            Store::Raw(_) => Ok(format!("picture {stored}")),
            Store::Encoded { examples, .. } => examples.name(stored),
        }
    }

    /// What the files hold that is no example; `None` where pictures are stored as pixels.
    pub fn passed_over(&self) -> Option<Passed> {
        match &self.store {
            Store::Raw(_) => None,
            Store::Encoded { examples, .. } => Some(examples.passed_over()),
        }
    }

    /// Tells the system that these examples will be read soon.
    pub fn advise(&self, ids: std::ops::Range<u64>) {
        if let (Store::Encoded { examples, .. }, None) = (&self.store, &self.kept) {
            examples.advise(ids);
        }
    }

    /// The picture of an example; what is `wanted` of it counts for encoded ones. A damaged one is the inner error; the outer one is of the files or the system.
    pub(crate) fn picture<'a>(
        &'a self,
        id: u64,
        wanted: &Wanted<'_>,
        memory: &'a mut Memory,
    ) -> Result<Result<Picture<'a>, Damage>, DataError> {
        let stored = self.stored(id)?;
        match &self.store {
            Store::Raw(raw) => {
                let (at, bytes) = (stored as usize, raw.shape.bytes());
                let pixels = raw.pixels.get(at * bytes..(at + 1) * bytes).ok_or(DataError::NoExample(id))?;
                Ok(Ok(Picture::Raw(pixels, raw.shape)))
            }
            Store::Encoded { examples, channels } => {
                match examples.read(stored, &mut memory.file) {
                    Err(DataError::Example { problem, .. }) => return Ok(Err(Damage::Corrupt(problem))),
                    read => read?,
                }
                let decoded = decode_part(&memory.file, *channels, wanted, &mut memory.decoded);
                if decoded.is_err() {
                    examples.unchanged(stored)?;
                }
                Ok(decoded.map(|part| Picture::Decoded(&memory.decoded, part)))
            }
        }
    }

    /// Keeps only the examples of `classes`, which are numbered anew in this order; examples stay in theirs.
    pub(crate) fn keep(&mut self, classes: &[u32]) -> Result<(), DataError> {
        self.kept = None;
        let mut ids = Vec::new();
        for id in 0..self.len() {
            if let Label::One(class) = self.label(id)?
                && classes.contains(&class)
            {
                ids.push(id);
            }
        }
        self.kept = Some(Kept { ids, classes: classes.to_vec() });
        Ok(())
    }

    fn stored(&self, id: u64) -> Result<u64, DataError> {
        let stored = match &self.kept {
            Some(kept) => kept.ids.get(id as usize).copied(),
            None => Some(id),
        };
        stored.filter(|_| id < self.len()).ok_or(DataError::NoExample(id))
    }
}
