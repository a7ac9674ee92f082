//! A table of calls: each has its methods and its path. The methods that a path allows follow from the same table, for
//! OPTIONS and for the error 405.

use std::collections::BTreeMap;

use hyper::Method;
use hyper::header::HeaderValue;
use matchit::{Match, Router};

use super::answer::{Answer, HttpError, options};

/// The methods of a call that only reads.
pub(super) const READ: &[Method] = &[Method::GET, Method::HEAD];

/// The calls of a listener, by path.
pub(super) struct Routes<C>(Router<Path<C>>);

/// The calls of one path, by method.
pub(super) struct Path<C> {
    pattern: String,
    calls: Vec<(&'static [Method], C)>,
    allow: HeaderValue,
}

impl<C: Copy> Routes<C> {
    /// The calls of a table: by which methods, at which path.
    ///
    /// # Errors
    ///
    /// When two paths of the table cannot be told apart.
    pub(super) fn new(table: impl IntoIterator<Item = (&'static [Method], String, C)>) -> anyhow::Result<Self> {
        let mut paths = BTreeMap::<String, Vec<_>>::new();
        for (methods, path, call) in table {
            paths.entry(path).or_default().push((methods, call));
        }
        let mut router = Router::new();
        for (path, calls) in paths {
            let allow = allow(calls.iter().flat_map(|(methods, _)| *methods))?;
            router.insert(path.clone(), Path { pattern: path, calls, allow })?;
        }
        Ok(Self(router))
    }

    /// The calls of a path, and its parameters. A slash at its end changes nothing.
    pub(super) fn at<'p>(&self, path: &'p str) -> Result<Match<'_, 'p, &Path<C>>, HttpError> {
        self.0.at(path.strip_suffix('/').unwrap_or(path)).map_err(|_| HttpError::NotFound)
    }
}

impl<C: Copy> Path<C> {
    /// Its pattern, as the table has it.
    pub(super) fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The call of a method.
    pub(super) fn call(&self, method: &Method) -> Result<C, HttpError> {
        let call = self.calls.iter().find(|(methods, _)| methods.contains(method));
        call.map(|(_, call)| *call).ok_or_else(|| HttpError::Method { allow: self.allow.clone() })
    }

    /// The answer to OPTIONS.
    pub(super) fn options(&self) -> Answer {
        options(self.allow.clone())
    }
}

/// Answers a request for something that can only be read and has no route in the table.
pub(super) fn read_only(
    method: &Method,
    answer: impl FnOnce() -> Result<Answer, HttpError>,
) -> Result<Answer, HttpError> {
    let allow = HeaderValue::from_static("GET, HEAD, OPTIONS");
    match method {
        _ if READ.contains(method) => answer(),
        &Method::OPTIONS => Ok(options(allow)),
        _ => Err(HttpError::Method { allow }),
    }
}

/// The header `Allow` of a path with these methods. OPTIONS is one of every path.
fn allow<'a>(methods: impl Iterator<Item = &'a Method>) -> anyhow::Result<HeaderValue> {
    let names: Vec<&str> = methods.chain([&Method::OPTIONS]).map(Method::as_str).collect();
    Ok(HeaderValue::try_from(names.join(", "))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: &[Method] = &[Method::POST];

    #[test]
    fn what_a_path_allows_is_what_its_calls_are() -> anyhow::Result<()> {
        let table = [(READ, "/a/{id}".to_owned(), 1), (WRITE, "/a/{id}".to_owned(), 2), (READ, "/b".to_owned(), 3)];
        let routes = Routes::new(table)?;
        let matched = routes.at("/a/7/")?;
        assert_eq!(matched.params.get("id"), Some("7"));
        assert_eq!(matched.value.allow, "GET, HEAD, POST, OPTIONS");
        let called = [Method::HEAD, Method::POST].map(|method| matched.value.call(&method).ok());
        assert_eq!(called, [Some(1), Some(2)]);
        assert!(
            matches!(matched.value.call(&Method::PUT), Err(HttpError::Method { allow }) if allow == matched.value.allow)
        );
        assert_eq!(routes.at("/b")?.value.allow, "GET, HEAD, OPTIONS");
        assert!(matches!(routes.at("/c"), Err(HttpError::NotFound)));
        Ok(())
    }
}
