//! Cases out of live calls: who took part is replaced, and each answer is the one that the version gives to the call
//! as the case has it. What users wrote stays as they wrote it.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use ondol_host_model::{Speaker, User};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value};

use super::matching::opened;
use super::update::{expectation, value};
use crate::run::call::{Answer, Call};
use crate::run::version_set::VersionSet;

/// Calls of one handler, as cases.
#[derive(Debug, Serialize, Deserialize)]
pub struct Recorded {
    /// The settings that the answers belong to.
    pub settings: BTreeMap<String, String>,
    /// The calls.
    pub calls: Vec<RecordedCall>,
}

/// A call with its outcome.
#[derive(Debug, Serialize, Deserialize)]
pub struct RecordedCall {
    /// The function.
    pub call: String,
    /// Its arguments.
    pub arguments: Vec<Json>,
    /// The answer or the refusal.
    pub outcome: RecordedOutcome,
}

/// What a call came to.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedOutcome {
    /// An answer.
    Returns(Json),
    /// A refusal.
    Refuses(Json),
}

/// The calls as cases, with the answers of these versions. A call that fails is left out.
pub(crate) fn record(calls: Vec<Call>, versions: &VersionSet) -> Vec<RecordedCall> {
    let mut cast = Cast::default();
    let answered = calls.into_iter().filter_map(|call| {
        let call = cast.replaced(call);
        let outcome = match call.make(versions).ok()?.refusal_or_answer() {
            Ok(answer) => RecordedOutcome::Returns(answer),
            Err(refusal) => RecordedOutcome::Refuses(refusal),
        };
        Some(RecordedCall { call: call.function().to_owned(), arguments: call.arguments(), outcome })
    });
    answered.collect()
}

/// Those who play the users.
#[derive(Default)]
struct Cast(HashMap<String, Arc<Speaker>>);

impl Cast {
    fn speaker(&mut self, user: &User) -> Arc<Speaker> {
        let number = self.0.len() + 1;
        let role = self.0.entry(user.id.clone()).or_insert_with(|| {
            Arc::new(Speaker::new(User {
                id: format!("user{number}"),
                nickname: format!("User {number}"),
                email: format!("user{number}@example.com"),
                profile_url: user.profile_url.as_ref().map(|_| format!("/pictures/user{number}.png")),
            }))
        });
        Arc::clone(role)
    }

    fn user(&mut self, user: &User) -> User {
        (**self.speaker(user)).clone()
    }

    fn replaced(&mut self, call: Call) -> Call {
        match call {
            Call::Create(request, creator) => Call::Create(request, creator.map(|creator| self.user(&creator))),
            Call::Receive(sender, room, sent) => Call::Receive(self.speaker(&sender), room, sent),
            Call::Message(mut message) => {
                message.sender = self.speaker(&message.sender);
                Call::Message(message)
            }
            Call::Join(room, user) => Call::Join(room, self.user(&user)),
            Call::Leave(room, user) => Call::Leave(room, self.user(&user)),
            Call::Refusal(refusal) => Call::Refusal(refusal),
        }
    }
}

impl Answer {
    /// In the form of JSON that `ondol call` prints.
    fn refusal_or_answer(self) -> Result<Json, Json> {
        match self {
            Self::Room(Err(refusal)) | Self::Action(Err(refusal)) => Err(crate::run::call::refusal(&refusal)),
            answer => Ok(answer.json()),
        }
    }
}

impl Recorded {
    /// The table of cases.
    #[must_use]
    pub fn toml(&self) -> String {
        let mut document = DocumentMut::new();
        if !self.settings.is_empty() {
            let settings: Table =
                self.settings.iter().map(|(key, value)| (key.as_str(), Item::Value(value.as_str().into()))).collect();
            document.insert("settings", Item::Table(settings));
        }
        let mut cases = ArrayOfTables::new();
        for (index, recorded) in self.calls.iter().enumerate() {
            let mut case = Table::new();
            let mut put = |key: &str, value: Value| case.insert(key, Item::Value(value));
            put("name", format!("call {} of {}", index + 1, recorded.call).into());
            put("call", recorded.call.as_str().into());
            let arguments = json!(recorded.arguments);
            match value(&arguments) {
                Some(arguments) => put("args", arguments),
                None => put("args_json", arguments.to_string().into()),
            };
            match &recorded.outcome {
                RecordedOutcome::Returns(answer) => {
                    let (key, value) = expectation(&recorded.call, &opened(&recorded.call, answer.clone()));
                    put(key, value)
                }
                RecordedOutcome::Refuses(refusal) => put("refuses", value(refusal).unwrap_or_else(|| "".into())),
            };
            cases.push(case);
        }
        document.insert("case", Item::ArrayOfTables(cases));
        document.to_string()
    }
}
