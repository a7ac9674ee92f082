//! The loads by name: how many rooms, how many members in each, who sends and when.

use crate::driver::Pace;

/// One load, the same for every server.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// Its name in the table.
    pub(crate) title: &'static str,
    pub(crate) rooms: usize,
    pub(crate) members: usize,
    /// The members of each room that send.
    pub(crate) senders: usize,
    pub(crate) pace: Pace,
    /// The most that Ondol may cost, as a multiple of the plain server, when it commits with `full`.
    pub(crate) limit: Option<f64>,
}

/// Many rooms of a usual size, saturated.
pub(crate) const ROOMS_OF_50: Shape = Shape {
    name: "20x50",
    title: "20 × 50, 160 in flight",
    rooms: 20,
    members: 50,
    senders: 2,
    pace: Pace::Closed(4),
    limit: Some(1.1),
};

/// Every load, in the order of the table.
pub(crate) const SHAPES: [Shape; 6] = [
    Shape {
        name: "1x2",
        title: "1 × 2, 1 in flight",
        rooms: 1,
        members: 2,
        senders: 1,
        pace: Pace::Closed(1),
        limit: None,
    },
    Shape {
        name: "1x50",
        title: "1 × 50, 1 in flight",
        rooms: 1,
        members: 50,
        senders: 1,
        pace: Pace::Closed(1),
        limit: Some(1.45),
    },
    ROOMS_OF_50,
    Shape {
        name: "20x50-open",
        title: "20 × 50, 1,000 messages/s",
        pace: Pace::Open(1000),
        limit: Some(1.3),
        ..ROOMS_OF_50
    },
    Shape {
        name: "1x1000",
        title: "1 × 1,000, 2 in flight",
        rooms: 1,
        members: 1000,
        senders: 2,
        pace: Pace::Closed(1),
        limit: Some(0.8),
    },
    Shape {
        name: "200x2",
        title: "200 × 2, 1,600 in flight",
        rooms: 200,
        members: 2,
        senders: 2,
        pace: Pace::Closed(4),
        limit: Some(1.5),
    },
];
