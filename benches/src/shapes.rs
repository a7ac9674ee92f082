//! The loads by name: how many rooms, how many members in each, who sends and when.

use crate::driver::Pace::{self, Closed, Open};

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
    /// The most that Ondol may cost with `full` durability, as a multiple of the plain server.
    pub(crate) limit: Option<f64>,
}

const ONE_OF_2: Shape =
    Shape { name: "1x2", title: "1 × 2, 1 in flight", rooms: 1, members: 2, senders: 1, pace: Closed(1), limit: None };

/// Many rooms of a usual size, saturated.
pub(crate) const ROOMS_OF_50: Shape = Shape {
    name: "20x50",
    title: "20 × 50, 160 in flight",
    rooms: 20,
    members: 50,
    senders: 2,
    pace: Closed(4),
    limit: Some(1.1),
};

/// Every load, in the order of the table.
pub(crate) const SHAPES: [Shape; 6] = [
    ONE_OF_2,
    Shape { name: "1x50", title: "1 × 50, 1 in flight", members: 50, limit: Some(1.45), ..ONE_OF_2 },
    ROOMS_OF_50,
    Shape {
        name: "20x50-open", title: "20 × 50, 1,000 messages/s", pace: Open(1000), limit: Some(1.3), ..ROOMS_OF_50
    },
    Shape { name: "1x1000", title: "1 × 1,000, 2 in flight", members: 1000, senders: 2, limit: Some(0.8), ..ONE_OF_2 },
    Shape {
        name: "200x2", title: "200 × 2, 1,600 in flight", rooms: 200, members: 2, limit: Some(1.5), ..ROOMS_OF_50
    },
];
