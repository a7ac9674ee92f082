//! What stands of each sender in their messages: the same in every one, so it is written once and kept under the number
//! that the host has for them. Knows nothing of what it keeps.

/// The places that there are at first, and at the most.
const PLACES: usize = 16;
const PLACES_MAX: usize = 1_024;

/// What was written of some senders, those who spoke last among them.
#[derive(Debug, Default)]
pub struct Senders {
    /// A sender's place is their number's remainder: the host counts on, so those who come one after another stand side by
    /// side. A power of two, or none.
    places: Vec<Option<(u64, String)>>,
}

impl Senders {
    /// Nobody yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { places: Vec::new() }
    }

    /// What was written of `sender`; what `write` writes, if nothing was or it has made room for another's.
    pub fn get_or_write(&mut self, sender: u64, write: impl FnOnce() -> String) -> &str {
        let stands = |place: &Option<(u64, String)>| place.as_ref().is_none_or(|(standing, _)| *standing == sender);
        if !self.place(sender).is_some_and(|place| stands(place)) {
            self.grow();
        }
        let Some(place) = self.place(sender) else { return "" };
        if !matches!(place, Some((standing, _)) if *standing == sender) {
            *place = Some((sender, write()));
        }
        place.as_ref().map_or("", |(_, written)| written)
    }

    fn place(&mut self, sender: u64) -> Option<&mut Option<(u64, String)>> {
        let last = self.places.len().checked_sub(1)?;
        self.places.get_mut(sender as usize & last)
    }

    /// Makes twice as many places, as long as there may be more.
    fn grow(&mut self) {
        let places = (self.places.len() * 2).clamp(PLACES, PLACES_MAX);
        if places == self.places.len() {
            return;
        }
        let standing = std::mem::replace(&mut self.places, (0..places).map(|_| None).collect());
        for (sender, written) in standing.into_iter().flatten() {
            if let Some(place) = self.place(sender) {
                *place = Some((sender, written));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of these senders have to be written.
    fn written(senders: &mut Senders, numbers: impl IntoIterator<Item = u64>) -> usize {
        let mut written = 0;
        for number in numbers {
            let kept = senders.get_or_write(number, || {
                written += 1;
                format!("sender {number}")
            });
            assert_eq!(kept, format!("sender {number}"));
        }
        written
    }

    #[test]
    fn who_speaks_again_is_not_written_again() {
        let mut senders = Senders::new();
        assert_eq!(written(&mut senders, [7, 7, 8, 7]), 2);
        assert_eq!(written(&mut senders, 0..1_000), 998);
        assert_eq!(written(&mut senders, 0..1_000), 0);
    }

    #[test]
    fn whoever_has_a_place_gives_it_up_to_the_next_when_there_are_too_many() {
        let mut senders = Senders::new();
        let many = 0..10 * PLACES_MAX as u64;
        assert_eq!(written(&mut senders, many.clone()), many.end as usize);
        assert_eq!(senders.places.len(), PLACES_MAX);
        assert_eq!(written(&mut senders, many.rev().take(PLACES_MAX)), 0, "the last ones are known");
        assert_eq!(written(&mut senders, [u64::MAX, 0, u64::MAX]), 2);
    }

    #[test]
    fn a_few_take_few_places() {
        let mut senders = Senders::new();
        written(&mut senders, 100..110);
        assert_eq!(senders.places.len(), PLACES);
    }
}
