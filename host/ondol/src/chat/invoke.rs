//! Asking a release, and, when it fails, whoever answers instead: the release before, while a version of this one is on
//! probation; else, where the operator wants that, a built-in handler. The operator hears of the fault either way. Knows
//! nothing of who waits for the answer.

use std::sync::Arc;

use ondol_host_handlers::{Call, Cause, Fault, Release};
use ondol_host_model::{Action, Frame, Message, Refusal, RequestId, RoomDraft, RoomId, RoomRequest, Speaker, User};

/// What the operator reads of a fault that nobody else hears of.
const BEFORE_ANSWERED: &str = "the version before answered instead";
const BUILT_IN_ANSWERED: &str = "the built-in handler answered instead";

/// Where something was asked, and as what.
type Asked<'a> = (Option<RoomId>, Option<&'a RequestId>);

/// What room is made of a request.
pub(super) fn create(
    release: &Release,
    id: &RequestId,
    request: &RoomRequest,
    creator: Option<&User>,
) -> Result<Result<RoomDraft, Refusal>, Fault> {
    let ask = |release: &Release| release.create(request, creator);
    with_fallback(release, (None, Some(id)), ask, || Call::Create(request.clone(), creator.cloned()), || None)
}

/// What becomes of a frame.
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
    let asked = (Some(message.room), request);
    let call = || Call::Message(message.clone());
    with_fallback(release, asked, |release| release.message(message), call, || release.message_instead(message))
}

/// A refusal's event.
pub(super) fn refusal(
    release: &Release,
    request: &RequestId,
    room: RoomId,
    refusal: &Refusal,
) -> Result<String, Fault> {
    let asked = (Some(room), Some(request));
    let call = || Call::Refusal(refusal.clone());
    with_fallback(release, asked, |release| release.refusal(refusal), call, || release.refusal_instead(refusal))
}

/// The event of a user who came.
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
    (room, request): Asked<'_>,
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
        // Where there was no version before this one, it was the built-in handler that answered.
        Some(Err(none)) if matches!(none.cause, Cause::NoVersion) => release.held_against(&fault, &call()),
        _ => {}
    }
    match instead() {
        // That there is no version was told when that began.
        Some(answer) if matches!(fault.cause, Cause::NoVersion) => Ok(answer),
        Some(answer) => {
            fault.log(room, request, BUILT_IN_ANSWERED);
            Ok(answer)
        }
        None => Err(fault),
    }
}
