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

use ondol_tests::{
    Setup, TestResult, TestServer,
    gateway::{Gateway, Kind, Timing},
};

/// A check with one kind of gateway.
struct Case {
    kind: Kind,
    story: &'static str,
}

impl Case {
    /// A server and the gateway in front of it. None: it is not installed.
    async fn start(&self, setup: Setup) -> TestResult<Option<(TestServer, Gateway)>> {
        self.start_timed(setup, Timing::default()).await
    }

    async fn start_timed(&self, setup: Setup, timing: Timing) -> TestResult<Option<(TestServer, Gateway)>> {
        let server = setup.start().await?;
        let gateway = self.kind.start(self.story, server.address(), timing).await?;
        Ok(gateway.map(|gateway| (server, gateway)))
    }
}

macro_rules! checks {
    ($($gateway:ident = $kind:ident { $($file:ident::$check:ident,)* })*) => {$(
        mod $gateway {
            use super::*;
            $(
                #[tokio::test]
                async fn $check() -> TestResult {
                    let story = concat!(stringify!($gateway), "::", stringify!($check));
                    $file::$check(&Case { kind: Kind::$kind, story }).await
                }
            )*
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
        sockets::a_silent_socket_outlives_the_timeouts,
        sockets::a_thousand_sockets_hear_a_message,
        closing::close_codes_arrive_as_sent,
        closing::refusals_by_close_codes_arrive_as_sent,
        closing::refusals_by_status_arrive_as_sent,
        closing::a_shutdown_is_seen,
        closing::a_body_as_large_as_the_server_takes_passes,
        pool::no_post_is_lost_at_the_edge_of_the_idle_time,
        pool::connections_to_the_server_are_kept,
    }
}
