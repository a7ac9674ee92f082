//! Asking a release, and, when it fails and the operator wants that, whoever stands in for it. The operator hears of the
//! fault either way. Knows nothing of who waits for the answer.

use crate::handlers::{Fault, Release};
use crate::model::{Action, Frame, Message, Refusal, RequestId, RoomId, User};

/// What the operator reads of a fault that nobody else hears of.
const ANSWERED: &str = "the built-in handler answered instead";

/// What becomes of a frame.
pub(super) fn receive(
    release: &Release,
    request: &RequestId,
    sender: &User,
    room: RoomId,
    frame: Frame<'_>,
) -> Result<Result<Action, Refusal>, Fault> {
    let answer = release.receive(sender, room, frame);
    or_instead(answer, room, Some(request), || release.receive_instead(frame))
}

/// A message's event.
pub(super) fn message(release: &Release, request: &RequestId, message: &Message) -> Result<String, Fault> {
    or_instead(release.message(message), message.room, Some(request), || release.message_instead(message))
}

/// A refusal's event.
pub(super) fn refusal(
    release: &Release,
    request: &RequestId,
    room: RoomId,
    refusal: &Refusal,
) -> Result<String, Fault> {
    or_instead(release.refusal(refusal), room, Some(request), || release.refusal_instead(refusal))
}

/// The event of a user who came.
pub(super) fn join(release: &Release, room: RoomId, user: &User) -> Result<Option<String>, Fault> {
    or_instead(release.join(room, user), room, None, || release.join_instead(user))
}

/// The event of a user who left.
pub(super) fn leave(release: &Release, room: RoomId, user: &User) -> Result<Option<String>, Fault> {
    or_instead(release.leave(room, user), room, None, || release.leave_instead(user))
}

fn or_instead<T>(
    answer: Result<T, Fault>,
    room: RoomId,
    request: Option<&RequestId>,
    instead: impl FnOnce() -> Option<T>,
) -> Result<T, Fault> {
    let Err(fault) = answer else { return answer };
    match instead() {
        Some(answer) => {
            fault.log(Some(room), request, ANSWERED);
            Ok(answer)
        }
        None => Err(fault),
    }
}
