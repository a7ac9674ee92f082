//! A release that answers: three versions, and behind the same door the baselines that answer for one on probation, the
//! shadow that receives copies of calls, and the built-in handlers. Logs every fault. Knows nothing of which release is
//! active.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ondol_host_model::trace::{self, OpenSpan};
use ondol_host_model::{Action, Frame, Message, Refusal, RequestId, RoomDraft, RoomId, RoomRequest, Speaker, User};

use crate::rollout::probation::Probation;
use crate::rollout::probations::Probations;
use crate::rollout::shadow::Shadow;
use crate::run::call::{Answer, Call};
use crate::run::call_figures::CallFigures;
use crate::run::fallback;
use crate::run::fault::{Cause, Fault};
use crate::run::kind::{Each, HandlerKind, SettingsMap};
use crate::run::sandbox::Sandbox;
use crate::run::version_set::VersionSet;
use crate::run::warm_up;

/// What a fault led to, for the operator.
const BASELINE_ANSWERED: &str = "the baseline answered instead";
const FALLBACK_ANSWERED: &str = "the built-in handler answered instead";

/// One version of each handler, ready to answer. A message takes the active release once, at its start, and keeps it.
pub struct Release {
    versions: VersionSet,
    /// The calls of each handler's version.
    calls: Each<Arc<CallFigures>>,
    probations: Probations,
    /// The probations of each handler's version, the latest first.
    watched_by: Each<Box<[Watch]>>,
    shadow: Option<Arc<Shadow>>,
    sandbox: Arc<Sandbox>,
}

/// A probation, and the calls of its baseline.
struct Watch {
    probation: Arc<Probation>,
    baseline_calls: Arc<CallFigures>,
}

/// A call as the log names it.
struct Context<'a> {
    handler: HandlerKind,
    function: &'static str,
    room: Option<RoomId>,
    request: Option<&'a RequestId>,
    /// What it leads to when nothing answers.
    unanswered: &'static str,
}

impl Release {
    /// A release of these versions.
    pub(crate) fn new(
        sandbox: &Arc<Sandbox>,
        versions: VersionSet,
        probations: Probations,
        shadow: Option<Arc<Shadow>>,
    ) -> Self {
        let watch = |handler: HandlerKind, probation: Arc<Probation>| {
            let baseline_calls = sandbox.calls.of(handler, probation.baseline().versions.id(handler));
            Watch { probation, baseline_calls }
        };
        // The oldest first, so that the figures of the active versions are the last ones used.
        let watched_by = HandlerKind::ALL.map(|handler| {
            let earliest_first = probations.of(handler, versions.ids()).into_iter().rev();
            let mut watched: Vec<_> = earliest_first.map(|probation| watch(handler, probation)).collect();
            watched.reverse();
            watched.into_boxed_slice()
        });
        let calls = Each(HandlerKind::ALL.map(|handler| sandbox.calls.of(handler, versions.id(handler))));
        Self { versions, calls, probations, watched_by: Each(watched_by), shadow, sandbox: Arc::clone(sandbox) }
    }

    /// The same versions with other probations or another shadow.
    pub(crate) fn with(&self, probations: Probations, shadow: Option<Arc<Shadow>>) -> Self {
        Self::new(&self.sandbox, self.versions.clone(), probations, shadow)
    }

    /// The three versions.
    #[must_use]
    pub fn versions(&self) -> &VersionSet {
        &self.versions
    }

    pub(crate) fn probations(&self) -> &Probations {
        &self.probations
    }

    pub(crate) fn shadow(&self) -> Option<&Arc<Shadow>> {
        self.shadow.as_ref()
    }

    /// Calls `rooms.create`: what room is to be made of a request.
    ///
    /// # Errors
    ///
    /// The handler's fault, which is logged. A refusal is the inner result.
    pub fn create(
        &self,
        id: &RequestId,
        request: &RoomRequest,
        creator: Option<&User>,
    ) -> Result<Result<RoomDraft, Refusal>, Fault> {
        let context = Context {
            handler: HandlerKind::Rooms,
            function: "rooms.create",
            room: None,
            request: Some(id),
            unanswered: "no room is created",
        };
        let call = |versions: &VersionSet| versions.rooms.create(request, creator);
        self.answer(
            &context,
            call,
            || Call::Create(request.clone(), creator.cloned()),
            |settings| Some(fallback::create(settings, request)),
        )
    }

    /// Calls `messages.receive`: what becomes of a frame.
    ///
    /// # Errors
    ///
    /// The handler's fault, which is logged. A refusal is the inner result.
    pub fn receive(
        &self,
        request: &RequestId,
        sender: &Arc<Speaker>,
        room: RoomId,
        frame: Frame<'_>,
    ) -> Result<Result<Action, Refusal>, Fault> {
        let context = Context {
            handler: HandlerKind::Messages,
            function: "messages.receive",
            room: Some(room),
            request: Some(request),
            unanswered: "its sender gets an error",
        };
        let call = |versions: &VersionSet| versions.messages.receive(sender, room, frame);
        let value = || Call::receive(sender, room, frame);
        self.answer(&context, call, value, |settings| Some(fallback::receive(settings, frame)))
    }

    /// Calls `events.message`: the event of a message.
    ///
    /// # Errors
    ///
    /// The handler's fault, which is logged.
    pub fn message(&self, request: Option<&RequestId>, message: &Message) -> Result<String, Fault> {
        self.event(message, &events("events.message", Some(message.room), request, "its sender gets an error"))
    }

    /// Calls `events.message` for someone who reads a stored message.
    ///
    /// # Errors
    ///
    /// The handler's fault, which is logged.
    pub fn stored_message(&self, request: &RequestId, message: &Message) -> Result<String, Fault> {
        self.event(message, &events("events.message", Some(message.room), Some(request), "its reader does not get it"))
    }

    /// Calls `events.message` for each message that a client missed. After a fault, which is logged, the built-in handler
    /// writes the rest: a client that resumes must not lose a message.
    #[must_use]
    pub fn replay(&self, messages: &[Message]) -> Vec<String> {
        let mut is_failing = false;
        let event = |message: &Message| {
            let unanswered = "the built-in handler wrote the event for a client that resumes";
            let context = events("events.message", Some(message.room), None, unanswered);
            let event = if is_failing { None } else { self.event(message, &context).ok() };
            is_failing = event.is_none();
            event.unwrap_or_else(|| fallback::message(message))
        };
        messages.iter().map(event).collect()
    }

    fn event(&self, message: &Message, context: &Context<'_>) -> Result<String, Fault> {
        let call = |versions: &VersionSet| versions.events.message(message);
        self.answer(context, call, || Call::Message(message.clone()), |_| Some(fallback::message(message)))
    }

    /// Calls `events.refusal`: the event of a refusal.
    ///
    /// # Errors
    ///
    /// The handler's fault, which is logged.
    pub fn refusal(&self, request: &RequestId, room: RoomId, refusal: &Refusal) -> Result<String, Fault> {
        let unanswered = "its sender gets the refusal in the host's own words";
        let context = events("events.refusal", Some(room), Some(request), unanswered);
        let call = |versions: &VersionSet| versions.events.refusal(refusal);
        self.answer(&context, call, || Call::Refusal(refusal.clone()), |_| Some(fallback::refusal(refusal)))
    }

    /// Calls `events.join`: the event of a user who came. None: it is not announced, as after a fault, which is logged.
    #[must_use]
    pub fn join(&self, room: RoomId, user: &User) -> Option<String> {
        let context = events("events.join", Some(room), None, "the room is not told of a join");
        let call = |versions: &VersionSet| versions.events.join(room, user);
        let value = || Call::Join(room, user.clone());
        self.answer(&context, call, value, |settings| Some(fallback::join(settings, user))).ok().flatten()
    }

    /// Calls `events.leave`: the event of a user who left. None: it is not announced, as after a fault, which is
    /// logged.
    #[must_use]
    pub fn leave(&self, room: RoomId, user: &User) -> Option<String> {
        let context = events("events.leave", Some(room), None, "the room is not told of a leave");
        let call = |versions: &VersionSet| versions.events.leave(room, user);
        let value = || Call::Leave(room, user.clone());
        self.answer(&context, call, value, |settings| Some(fallback::leave(settings, user))).ok().flatten()
    }

    /// The answer to a call: of its version; else of a baseline, while that version is on probation; else of the built-in
    /// handler, where the operator wants that. `value` is the call as a value, to make it again elsewhere.
    fn answer<R: Clone + Into<Answer>>(
        &self,
        context: &Context<'_>,
        call: impl Fn(&VersionSet) -> Result<R, Fault>,
        value: impl Fn() -> Call,
        fallback: impl FnOnce(&SettingsMap) -> Option<R>,
    ) -> Result<R, Fault> {
        let traced = trace::span(context.function);
        let answer = if self.watched_by.of(context.handler).is_empty() && self.shadow.is_none() {
            self.call(context.handler, &call).0
        } else {
            self.observe(context.handler, &call, &value)
        };
        if let Some(mut span) = traced {
            self.tell(&mut span, context, &answer);
        }
        if self.sandbox.recorder.is_on() {
            self.sandbox.recorder.offer(context.handler, &value);
        }
        answer.or_else(|fault| self.answer_instead(context, fault, call, value, fallback))
    }

    /// Makes a call and counts it. Returns how long it took as well.
    fn call<R>(
        &self,
        handler: HandlerKind,
        call: &impl Fn(&VersionSet) -> Result<R, Fault>,
    ) -> (Result<R, Fault>, Duration) {
        counted(self.calls.of(handler), || call(&self.versions))
    }

    /// Says in a span what came of a call.
    #[cold]
    fn tell<R: Clone + Into<Answer>>(&self, span: &mut OpenSpan, context: &Context<'_>, answer: &Result<R, Fault>) {
        span.field("ondol.handler", context.handler.name());
        span.field("ondol.version", self.versions.id(context.handler).to_string());
        span.field("code.function.name", context.function);
        if let Some(room) = context.room {
            span.field("ondol.room", room.0);
        }
        let outcome = match answer {
            Ok(answer) if answer.clone().into().is_refusal() => "refused",
            Ok(_) => "answered",
            Err(_) => "fault",
        };
        span.field("ondol.outcome", outcome);
        // The cause may hold what the handler said: that is for the log.
        if answer.is_err() {
            span.fail("handler_fault");
        }
    }

    /// Makes a call, measures it for the probation, and copies it to the shadow.
    fn observe<R: Clone + Into<Answer>>(
        &self,
        handler: HandlerKind,
        call: &impl Fn(&VersionSet) -> Result<R, Fault>,
        value: &impl Fn() -> Call,
    ) -> Result<R, Fault> {
        let (answer, took) = self.call(handler, call);
        // A call to a version that answers only counts for the deploy that brought it.
        if let Some(Watch { probation, baseline_calls }) = self.watched_by.of(handler).first()
            && probation.count_call(handler)
            && answer.is_ok()
            && warm_up::was_warm()
        {
            // Now and then the baseline is called as well, here and at once: so both are measured alike.
            let (answered, baseline_took) = counted(baseline_calls, || call(&probation.baseline().versions));
            if warm_up::was_warm() || answered.is_err() {
                probation.compare(handler, took, answered.is_ok().then_some(baseline_took));
            }
        }
        if let Some(shadow) = self.shadow.as_ref().filter(|shadow| shadow.is_about(handler)) {
            let outcome = answer.as_ref().map(|answer| answer.clone().into()).map_err(|fault| fault.cause.to_string());
            shadow.offer(value, outcome, took);
        }
        answer
    }

    /// The answer of the baseline or the built-in handler, after a fault.
    #[cold]
    fn answer_instead<R>(
        &self,
        context: &Context<'_>,
        fault: Fault,
        call: impl Fn(&VersionSet) -> Result<R, Fault>,
        value: impl Fn() -> Call,
        fallback: impl FnOnce(&SettingsMap) -> Option<R>,
    ) -> Result<R, Fault> {
        // What was deployed onto a version that fails as well may fail because of that one.
        for Watch { probation, baseline_calls } in self.watched_by.of(fault.handler) {
            match counted(baseline_calls, || call(&probation.baseline().versions)).0 {
                Ok(answer) => {
                    self.log(context, &fault, BASELINE_ANSWERED);
                    probation.count_fault(&fault, &value());
                    return Ok(answer);
                }
                // The built-in handler answers for a baseline without a version.
                Err(none) if matches!(none.cause, Cause::NoVersion) => probation.count_fault(&fault, &value()),
                Err(_) => {}
            }
        }
        let settings = self.sandbox.has_fallback(context.handler).then(|| self.versions.settings(context.handler));
        let started = Instant::now();
        match settings.and_then(|settings| fallback(settings)) {
            Some(answer) => {
                self.sandbox.calls.built_in(context.handler).add(started.elapsed(), false);
                // That there is no version was logged once, when that began.
                if !matches!(fault.cause, Cause::NoVersion) {
                    self.log(context, &fault, FALLBACK_ANSWERED);
                }
                Ok(answer)
            }
            None => {
                self.log(context, &fault, context.unanswered);
                Err(fault)
            }
        }
    }

    /// Logs a fault, and keeps it for an operator who asks.
    fn log(&self, context: &Context<'_>, fault: &Fault, outcome: &str) {
        let Fault { handler, version, function, cause, printed, .. } = fault;
        let backtrace = cause.backtrace();
        tracing::error!(
            request_id = context.request.map(tracing::field::display),
            room = context.room.map(|room| room.0),
            %handler,
            %version,
            function,
            printed = printed.as_deref(),
            backtrace = (!backtrace.is_empty()).then(|| backtrace.join(" < ")),
            "handler {handler} {version} failed in {function}, {outcome}: {cause}"
        );
        self.sandbox.log.fault(fault, outcome);
        self.sandbox.faults.add(fault, context.room, context.request, outcome);
    }
}

/// Makes a call and counts it, unless there is no version to call.
fn counted<R>(calls: &CallFigures, call: impl FnOnce() -> Result<R, Fault>) -> (Result<R, Fault>, Duration) {
    let started = Instant::now();
    let answer = call();
    let took = started.elapsed();
    match &answer {
        Ok(_) => calls.add(took, false),
        Err(fault) if matches!(fault.cause, Cause::NoVersion) => {}
        Err(_) => calls.add(took, true),
    }
    (answer, took)
}

fn events<'a>(
    function: &'static str,
    room: Option<RoomId>,
    request: Option<&'a RequestId>,
    unanswered: &'static str,
) -> Context<'a> {
    Context { handler: HandlerKind::Events, function, room, request, unanswered }
}
