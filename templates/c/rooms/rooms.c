// Only users create rooms, and every name carries a mark: the setting `mark`.

#include <stdlib.h>
#include <string.h>

// Written by wit-bindgen. What the world imports begins with `ondol_chat_`, what it exports with `exports_`.
#include "room_handler.h"

typedef room_handler_string_t string;

// The setting. It never changes while an instance lives, so the first call reads it.
static string mark;

static void read_mark(void) {
    string key;
    if (mark.ptr) return;
    room_handler_string_set(&key, "mark");
    if (!ondol_chat_settings_get(&key, &mark)) room_handler_string_dup(&mark, "♨");
}

static bool refuse(exports_ondol_chat_rooms_refusal_t *err, const char *code, const char *message, const char *field) {
    room_handler_string_dup(&err->code, code);
    room_handler_string_dup(&err->message, message);
    err->field.is_some = field != NULL;
    if (field) room_handler_string_dup(&err->field.val, field);
    return false;
}

// The characters of a text in UTF-8: all bytes but those that continue one.
static size_t characters(const string *text) {
    size_t count = 0;
    for (size_t at = 0; at < text->len; at++) count += (text->ptr[at] & 0xc0) != 0x80;
    return count;
}

// The exported function. True: a room in `ret`; false: a refusal in `err`. The caller frees either; a string of the contract
// has a length, and no NUL behind it.
bool exports_ondol_chat_rooms_create(exports_ondol_chat_rooms_request_t *request, exports_ondol_chat_rooms_room_draft_t *ret,
                                     exports_ondol_chat_rooms_refusal_t *err) {
    read_mark();
    if (!request->creator.is_some) {
        exports_ondol_chat_rooms_request_free(request);
        return refuse(err, "no_creator", "Only a user can create a room.", NULL);
    }
    const string *wanted = request->name.is_some ? &request->name.val : &request->creator.val.nickname;
    string name = {.len = mark.len + 1 + wanted->len};
    name.ptr = malloc(name.len);
    if (!name.ptr) abort();
    memcpy(name.ptr, mark.ptr, mark.len);
    name.ptr[mark.len] = ' ';
    memcpy(name.ptr + mark.len + 1, wanted->ptr, wanted->len);
    exports_ondol_chat_rooms_request_free(request);
    if (characters(&name) > 100) {
        free(name.ptr);
        return refuse(err, "too_long", "The name is too long.", "name");
    }
    ret->name = name;
    ret->standing = EXPORTS_ONDOL_CHAT_ROOMS_STANDING_REUSE;
    return true;
}
