//! Only users create rooms, and every name carries a mark: the setting `mark`.

use ondol_handler::rooms::{Guest, Request, RoomDraft, Standing};
use ondol_handler::{Refusal, settings};

struct Rooms;

ondol_handler::export_rooms!(Rooms);

impl Guest for Rooms {
    fn create(request: Request) -> Result<RoomDraft, Refusal> {
        let mark = settings::get("mark").unwrap_or_else(|| "♨".to_owned());
        Ok(RoomDraft { name: name(&mark, request)?, standing: Standing::Reuse })
    }
}

/// The name of a room: the requested one or that of its creator, behind the mark.
fn name(mark: &str, request: Request) -> Result<String, Refusal> {
    let Some(creator) = request.creator else {
        return Err(Refusal::new("no_creator", "Only a user can create a room."));
    };
    let wanted = request.name.unwrap_or(creator.nickname);
    let name = format!("{mark} {}", wanted.trim());
    if name.chars().count() > 100 {
        return Err(Refusal::new("too_long", "The name is too long.").at("name"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use ondol_handler::testing;

    use super::*;

    #[test]
    fn a_room_without_a_name_is_named_after_its_creator() {
        testing::set("mark", "*");
        let request = Request { name: None, post_id: None, creator: Some(testing::named("민지")) };
        assert_eq!(Rooms::create(request).unwrap().name, "* 민지");
    }

    #[test]
    fn only_users_create_rooms() {
        let request = Request { name: Some("lobby".to_owned()), post_id: None, creator: None };
        assert_eq!(Rooms::create(request).unwrap_err().code, "no_creator");
    }
}
