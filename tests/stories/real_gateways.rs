//! Ondol behind real gateways, with the configurations in `deploy/gateways`. Each check is told once, for a gateway of any
//! kind, and the table below says which gateways it is run with. A gateway that is not installed is skipped by name, but
//! not in CI.

mod browser;
mod closing;
mod forgery;
mod identity;
mod pool;
mod sockets;
mod tokens;

use std::{net::TcpListener, sync::Arc};

use anyhow::Context as _;
use ondol_tests::{
    Setup, TestResult, TestServer,
    gateway::{Gateway, Kind, Recorder, Timing},
};
use tokio::sync::OnceCell;

/// A check with one kind of gateway.
struct Case {
    kind: Kind,
    story: &'static str,
    /// None: the check has a gateway of its own.
    shared: Option<Shared>,
}

/// A gateway for several checks in turn, whose servers follow each other at one address.
struct Shared {
    upstream: String,
    gateway: OnceCell<Option<Arc<Gateway>>>,
}

impl Shared {
    /// An address where no other story looks for a free port.
    fn new() -> TestResult<Self> {
        let upstream = TcpListener::bind("127.0.0.2:0")?.local_addr()?.to_string();
        Ok(Self { upstream, gateway: OnceCell::new() })
    }
}

impl Case {
    /// A server and the gateway in front of it. None: it is not installed.
    async fn start(&self, setup: Setup) -> TestResult<Option<(TestServer, Arc<Gateway>)>> {
        let setup = match &self.shared {
            Some(shared) => setup.at(&shared.upstream),
            None => setup,
        };
        let server = setup.start().await?;
        Ok(self.gateway(server.address()).await?.map(|gateway| (server, gateway)))
    }

    /// The same with times of the check's own, which take a gateway of its own.
    async fn start_timed(&self, setup: Setup, timing: Timing) -> TestResult<Option<(TestServer, Gateway)>> {
        let server = setup.start().await?;
        let gateway = self.kind.start(self.story, server.address(), timing).await?;
        Ok(gateway.map(|gateway| (server, gateway)))
    }

    /// A gateway in front of what records its requests.
    async fn start_recorder(&self) -> TestResult<Option<(Recorder, Arc<Gateway>)>> {
        let address = self.shared.as_ref().map_or("127.0.0.1:0", |shared| &shared.upstream);
        let recorder = Recorder::start(address).await?;
        Ok(self.gateway(recorder.address()).await?.map(|gateway| (recorder, gateway)))
    }

    async fn gateway(&self, upstream: &str) -> TestResult<Option<Arc<Gateway>>> {
        let start = async || {
            let gateway = self.kind.start(self.story, upstream, Timing::default()).await?;
            Ok(gateway.map(Arc::new))
        };
        match &self.shared {
            Some(shared) => shared.gateway.get_or_try_init(start).await.cloned(),
            None => start().await,
        }
    }
}

/// Checks with a story for each; those in brackets follow each other behind one gateway, whose start takes longer than they do.
macro_rules! checks {
    ($($gateway:ident = $kind:ident {
        $($file:ident::$check:ident,)*
        $([$($turn_file:ident::$turn_check:ident,)+])?
    })*) => {$(
        mod $gateway {
            use super::*;
            $(
                #[tokio::test]
                async fn $check() -> TestResult {
                    let story = concat!(stringify!($gateway), "::", stringify!($check));
                    $file::$check(&Case { kind: Kind::$kind, story, shared: None }).await
                }
            )*
            $(
                #[tokio::test]
                async fn checks_in_turn() -> TestResult {
                    let story = concat!(stringify!($gateway), "::checks_in_turn");
                    let case = Case { kind: Kind::$kind, story, shared: Some(Shared::new()?) };
                    $(
                        eprintln!("{}", stringify!($turn_check));
                        $turn_file::$turn_check(&case).await.context(stringify!($turn_check))?;
                    )+
                    Ok(())
                }
            )?
        }
    )*};
}

checks! {
    nginx = Nginx {
        identity::every_value_arrives_as_it_is,
        identity::the_server_receives_the_identity_and_no_token,
        identity::reading_needs_no_token_and_the_rest_does,
        forgery::an_identity_in_the_query_never_counts,
        forgery::an_identity_in_headers_never_counts,
        tokens::a_token_of_each_algorithm_counts,
        tokens::a_token_that_does_not_hold_is_refused,
        tokens::no_token_is_logged,
        tokens::a_token_may_come_in_three_places,
        browser::a_page_sends_its_token_in_a_subprotocol,
        browser::a_page_sends_its_token_in_a_cookie,
        browser::the_chat_page_works,
        sockets::an_idle_socket_stays_open,
        sockets::a_silent_socket_is_closed_by_the_gateway,
        sockets::a_thousand_sockets_hear_a_message,
        closing::close_codes_arrive_as_sent,
        closing::refusals_by_close_codes_arrive_as_sent,
        closing::refusals_by_status_arrive_as_sent,
        closing::a_shutdown_is_seen,
        closing::a_body_as_large_as_the_server_takes_passes,
        pool::no_post_is_lost_at_the_edge_of_the_idle_time,
        pool::a_post_that_meets_a_closing_connection_is_not_stored,
        pool::connections_to_the_server_are_kept,
    }
    spring = Spring {
        sockets::an_idle_socket_stays_open,
        sockets::a_silent_socket_outlives_the_timeouts,
        pool::no_post_is_lost_at_the_edge_of_the_idle_time,
        [
            identity::every_value_arrives_as_it_is,
            identity::the_server_receives_the_identity_and_no_token,
            identity::reading_needs_no_token_and_the_rest_does,
            forgery::an_identity_in_the_query_never_counts,
            forgery::an_identity_in_headers_never_counts,
            tokens::a_token_of_each_algorithm_counts,
            tokens::a_token_that_does_not_hold_is_refused,
            tokens::no_token_is_logged,
            tokens::a_token_may_come_in_three_places,
            browser::a_page_sends_its_token_in_a_subprotocol,
            browser::a_page_sends_its_token_in_a_cookie,
            browser::the_chat_page_works,
            sockets::a_thousand_sockets_hear_a_message,
            closing::close_codes_arrive_as_sent,
            closing::refusals_by_close_codes_arrive_as_sent,
            closing::refusals_by_status_arrive_as_sent,
            closing::a_shutdown_is_seen,
            closing::a_body_as_large_as_the_server_takes_passes,
            pool::connections_to_the_server_are_kept,
        ]
    }
}
