//! The one door to the handlers on a message's way: a call of a release and, when that fails, its fallback. During probation
//! the baseline answers; otherwise, where the operator set `failure = "default"`, the built-in handler does. Every fault is logged
//! and counts toward probation. Knows nothing of who waits for the answer.

use std::sync::Arc;

use ondol_host_handlers::{Call, Cause, Fault, Release};
use ondol_host_model::{Action, Frame, Message, Refusal, RequestId, RoomDraft, RoomId, RoomRequest, Speaker, User};

/// The end of the log line of a fault whose call was answered all the same.
const BEFORE_ANSWERED: &str = "the baseline answered instead";
const BUILT_IN_ANSWERED: &str = "the built-in handler answered instead";

/// The room and the request of a call, for the log.
type Origin<'a> = (Option<RoomId>, Option<&'a RequestId>);

/// The room to create for a request.
pub(super) fn create(
    release: &Release,
    id: &RequestId,
    request: &RoomRequest,
    creator: Option<&User>,
) -> Result<Result<RoomDraft, Refusal>, Fault> {
    let ask = |release: &Release| release.create(request, creator);
    with_fallback(release, (None, Some(id)), ask, || Call::Create(request.clone(), creator.cloned()), || None)
}

/// What to do with a frame.
pub(super) fn receive(
    release: &Release,
    request: &RequestId,
    sender: &Arc<Speaker>,
    room: RoomId,
    frame: Frame<'_>,
) -> Result<Result<Action, Refusal>, Fault> {
    let ask = |release: &Release| release.receive(sender, room, frame);
    let call = || Call::receive(sender, room, frame);
    with_fallback(release, (Some(room), Some(request)), ask, call, || release.receive_instead(frame))
}

/// A message's event.
pub(super) fn message(release: &Release, request: Option<&RequestId>, message: &Message) -> Result<String, Fault> {
    let origin = (Some(message.room), request);
    let call = || Call::Message(message.clone());
    with_fallback(release, origin, |release| release.message(message), call, || release.message_instead(message))
}

/// A refusal's event.
pub(super) fn refusal(
    release: &Release,
    request: &RequestId,
    room: RoomId,
    refusal: &Refusal,
) -> Result<String, Fault> {
    let origin = (Some(room), Some(request));
    let call = || Call::Refusal(refusal.clone());
    with_fallback(release, origin, |release| release.refusal(refusal), call, || release.refusal_instead(refusal))
}

/// The event of a user who joined.
pub(super) fn join(release: &Release, room: RoomId, user: &User) -> Result<Option<String>, Fault> {
    let call = || Call::Join(room, user.clone());
    with_fallback(release, (Some(room), None), |release| release.join(room, user), call, || release.join_instead(user))
}

/// The event of a user who left.
pub(super) fn leave(release: &Release, room: RoomId, user: &User) -> Result<Option<String>, Fault> {
    let call = || Call::Leave(room, user.clone());
    with_fallback(
        release,
        (Some(room), None),
        |release| release.leave(room, user),
        call,
        || release.leave_instead(user),
    )
}

fn with_fallback<T>(
    release: &Release,
    (room, request): Origin<'_>,
    ask: impl Fn(&Release) -> Result<T, Fault>,
    call: impl FnOnce() -> Call,
    instead: impl FnOnce() -> Option<T>,
) -> Result<T, Fault> {
    let fault = match ask(release) {
        Ok(answer) => return Ok(answer),
        Err(fault) => fault,
    };
    match release.before(&fault).map(&ask) {
        Some(Ok(answer)) => {
            fault.log(room, request, BEFORE_ANSWERED);
            release.held_against(&fault, &call());
            return Ok(answer);
        }
        // Without a version, the baseline was the built-in handler.
        Some(Err(none)) if matches!(none.cause, Cause::NoVersion) => release.held_against(&fault, &call()),
        _ => {}
    }
    match instead() {
        // The log had it when the handler lost its version.
        Some(answer) if matches!(fault.cause, Cause::NoVersion) => Ok(answer),
        Some(answer) => {
            fault.log(room, request, BUILT_IN_ANSWERED);
            Ok(answer)
        }
        None => Err(fault),
    }
}
