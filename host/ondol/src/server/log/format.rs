//! The two forms of a log line. Both end with the trace that the line belongs to.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use ondol_host_model::trace;

/// For people: time, level, module, message, fields.
pub(in crate::server) struct Text(Format<Full>);

impl Text {
    pub(in crate::server) fn new(ansi: bool) -> Self {
        Self(Format::default().with_ansi(ansi))
    }
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Some(trace) = trace::current_id() else { return self.0.format_event(context, writer, event) };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        writeln!(writer, "{} trace_id={trace}", line.trim_end_matches('\n'))
    }
}

/// For programs: one JSON object (RFC 8259) per line.
pub(in crate::server) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut now = String::new();
        SystemTime.format_time(&mut Writer::new(&mut now))?;
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), now.into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.insert("target".to_owned(), event.metadata().target().into());
        line.insert("message".to_owned(), Value::Null);
        event.record(&mut Fields(&mut line));
        if let Some(trace) = trace::current_id() {
            line.insert("trace_id".to_owned(), trace.to_string().into());
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// Adds the fields of an event to its line.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        // A field that is called as the line's own members are does not replace them.
        let name = match field.name() {
            name @ ("timestamp" | "level" | "target" | "trace_id") => format!("{name}_"),
            name => name.strip_prefix("r#").unwrap_or(name).to_owned(),
        };
        self.0.insert(name, value);
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.put(field, text.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    /// A number that JSON does not have becomes null.
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use ondol_host_model::trace::{Trace, TraceId, enter};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Written {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn lines(json: bool, log: impl FnOnce()) -> Vec<String> {
        let kept = Written::default();
        let subscriber = tracing_subscriber::fmt().with_writer(kept.clone()).log_internal_errors(false);
        if json {
            tracing::subscriber::with_default(subscriber.event_format(Json).finish(), log);
        } else {
            tracing::subscriber::with_default(subscriber.event_format(Text::new(false)).finish(), log);
        }
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_is_one_json_object_whatever_is_in_it() {
        let nasty = "a\"b\\\n\u{0}\u{1b}[31m방\u{2028}";
        let lines = lines(true, || {
            tracing::info!(
                room = 7,
                level = "x",
                nan = f64::NAN,
                yes = true,
                text = nasty,
                absent = None::<u8>,
                "{nasty}"
            );
        });
        let [line] = &lines[..] else { panic!("{lines:?}") };
        let line: Map<String, Value> = serde_json::from_str(line).unwrap();
        assert_eq!(line.keys().take(4).collect::<Vec<_>>(), ["timestamp", "level", "target", "message"]);
        assert_eq!((&line["level"], &line["level_"], &line["room"]), (&"INFO".into(), &"x".into(), &7.into()));
        assert_eq!((&line["message"], &line["text"], &line["nan"]), (&nasty.into(), &nasty.into(), &Value::Null));
        assert_eq!((line.get("absent"), line.get("trace_id"), &line["yes"]), (None, None, &true.into()));
    }

    #[test]
    fn a_line_names_the_trace_that_it_belongs_to() {
        for json in [false, true] {
            let lines = lines(json, || {
                let _entered = enter(Some(Trace::named(TraceId([0xab; 16]))));
                tracing::warn!(room = 1, "one");
                drop(_entered);
                tracing::warn!("two");
            });
            let named: Vec<_> = lines.iter().map(|line| line.contains(&"ab".repeat(16))).collect();
            assert_eq!(named, [true, false], "{lines:?}");
        }
    }
}
