//! The loads by name: how many rooms, how many members in each, who speaks and when.

use crate::load::Pace;

/// A load for both servers.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) tells: &'static str,
    pub(crate) rooms: usize,
    pub(crate) members: usize,
    /// Members of each room that speak.
    pub(crate) senders: usize,
    pub(crate) pace: Pace,
}

/// Many rooms of a usual size, saturated.
pub(crate) const ROOMS_OF_50: Shape = Shape {
    name: "20x50",
    tells: "20 rooms of 50, 40 senders, 160 messages in flight",
    rooms: 20,
    members: 50,
    senders: 2,
    pace: Pace::Closed(4),
};

/// Many more rooms of the least size, saturated.
pub(crate) const ROOMS_OF_2: Shape = Shape {
    name: "200x2",
    tells: "200 rooms of 2, 400 senders, 1,600 messages in flight",
    rooms: 200,
    members: 2,
    senders: 2,
    pace: Pace::Closed(4),
};

/// Larger rooms, saturated. Only for the share that the components have.
pub(crate) const ROOMS_OF_100: Shape = Shape {
    name: "20x100",
    tells: "20 rooms of 100, 40 senders, 160 messages in flight",
    rooms: 20,
    members: 100,
    senders: 2,
    pace: Pace::Closed(4),
};

/// Every load, in the order of the table that comes out.
pub(crate) const SHAPES: [Shape; 6] = [
    Shape {
        name: "1x2",
        tells: "1 room of 2, 1 message in flight",
        rooms: 1,
        members: 2,
        senders: 1,
        pace: Pace::Closed(1),
    },
    Shape {
        name: "1x50",
        tells: "1 room of 50, 1 message in flight",
        rooms: 1,
        members: 50,
        senders: 1,
        pace: Pace::Closed(1),
    },
    ROOMS_OF_50,
    Shape {
        name: "20x50-open",
        tells: "20 rooms of 50, 40 senders, 1,000 messages a second",
        rooms: 20,
        members: 50,
        senders: 2,
        pace: Pace::Open(1000),
    },
    Shape {
        name: "1x1000",
        tells: "1 room of 1,000, 2 messages in flight",
        rooms: 1,
        members: 1000,
        senders: 2,
        pace: Pace::Closed(1),
    },
    ROOMS_OF_2,
];
