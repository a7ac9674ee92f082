//! What PostgreSQL itself limits, beside the limits of the config.

/// The most characters of a user's id. An index row of 2,704 bytes holds it beside the longest `client_id`, each character
/// in four bytes.
pub const POSTGRES_USER_ID_CHARS_MAX: usize = 600;

/// The most bytes that one statement may bring, half of what PostgreSQL takes: a batch of messages, or a component.
pub const POSTGRES_BYTES_MAX: usize = 512 * 1_024 * 1_024;

#[cfg(test)]
mod tests {
    use ondol_engines::Postgres;

    use super::*;

    /// Characters of four bytes that do not compress: all of them different.
    fn longest(chars: usize, from: u32) -> String {
        let different = (from..).filter_map(|number| char::from_u32(0x2_0000 + number * 7_919 % 0xa_000));
        different.take(chars).collect()
    }

    #[test]
    fn an_index_row_holds_the_longest_user_id_and_client_id() {
        let Some(database) = Postgres::of_tests_with(include_str!("schema-1.sql")).unwrap() else { return };
        let (user, client_id) = (longest(POSTGRES_USER_ID_CHARS_MAX, 0), longest(64, 9_000));
        assert_eq!((user.len(), client_id.len()), (4 * POSTGRES_USER_ID_CHARS_MAX, 256));
        let rows = format!(
            "INSERT INTO client_message (room, usr, client_id, seq) VALUES (1, '{user}', '{client_id}', 1);
             INSERT INTO sender (usr, nickname, email, profile_url)
             VALUES ('{user}', '{user}', '{user}', 'https://{}')",
            longest(16_384, 0)
        );
        database.sql_by_owner(&rows).unwrap();
        let too_long = longest(POSTGRES_USER_ID_CHARS_MAX + 100, 0);
        let row = format!(
            "INSERT INTO client_message (room, usr, client_id, seq) VALUES (2, '{too_long}', '{client_id}', 1)"
        );
        assert!(database.sql_by_owner(&row).unwrap_err().to_string().contains("index row size"));
    }

    #[test]
    fn texts_have_no_other_limit() {
        let Some(database) = Postgres::of_tests_with(include_str!("schema-1.sql")).unwrap() else { return };
        let sql = "INSERT INTO message (room, seq, id, sender, created_at, text, client_id, extra)
                   VALUES (1, 1, 1, 1, 0, repeat('x', 64 * 1048576), 'c', repeat('{', 64 * 1048576));
                   SELECT length(text) + length(extra) FROM message";
        assert_eq!(database.sql_by_owner(sql).unwrap(), (128 * 1_048_576).to_string());
    }
}
