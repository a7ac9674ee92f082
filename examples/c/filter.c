// A word filter in C. It is middleware: it lets the handler behind it read the frame, and refuses the message if its text
// contains one of the words of the setting `words`, which commas separate.

#include <string.h>
#include <strings.h>

// Written by wit-bindgen. What the world imports begins with `ondol_chat_`, what it exports with `exports_`.
#include "message_middleware.h"

typedef message_middleware_string_t string;

// The setting. It never changes while an instance lives, so the first call reads it.
static string words;
static bool words_are_read = false;

static void read_words(void) {
    if (words_are_read) return;
    string key;
    message_middleware_string_set(&key, "words");
    // Without the setting `words` stays empty, and every text passes.
    ondol_chat_settings_get(&key, &words);
    words_are_read = true;
}

// A string of the contract has a length, and no NUL behind it. Case is ignored in ASCII.
static bool contains(const string *text, const uint8_t *word, size_t length) {
    for (size_t at = 0; at + length <= text->len; at++) {
        if (strncasecmp((const char *)text->ptr + at, (const char *)word, length) == 0) return true;
    }
    return false;
}

static bool is_forbidden(const string *text) {
    for (size_t start = 0, end; start < words.len; start = end + 1) {
        const uint8_t *comma = memchr(words.ptr + start, ',', words.len - start);
        end = comma ? (size_t)(comma - words.ptr) : words.len;
        if (end > start && contains(text, words.ptr + start, end - start)) return true;
    }
    return false;
}

// The exported function. True: an action in `ret`; false: a refusal in `err`. The caller frees either.
bool exports_ondol_chat_messages_receive(ondol_chat_types_user_key_t sender, ondol_chat_types_room_id_t room,
                                         ondol_chat_types_frame_t *frame, ondol_chat_types_action_t *ret,
                                         ondol_chat_types_refusal_t *err) {
    read_words();
    // The handler behind this one.
    if (!ondol_chat_messages_receive(sender, room, frame, ret, err)) return false;
    if (ret->tag != ONDOL_CHAT_TYPES_ACTION_POST || !is_forbidden(&ret->val.post.text)) return true;

    ondol_chat_types_action_free(ret);
    message_middleware_string_dup(&err->code, "forbidden_word");
    message_middleware_string_dup(&err->message, "The message contains a word that is not allowed here.");
    err->field.is_some = true;
    message_middleware_string_dup(&err->field.val, "message");
    return false;
}
