// Every text of the page, in English and Korean. A name in braces stands for a value: a string, or another text.
// Texts under `error.` belong to the codes of the server's refusals, some of them for one field alone.
// Knows nothing of the screen.

export const TEXTS = {
  title: { en: "Ondol", ko: "온돌" },
  title_room: { en: "{name} · Ondol", ko: "{name} · 온돌" },
  title_unread: { en: "({unread}) {name} · Ondol", ko: "({unread}) {name} · 온돌" },
  language: { en: "Language", ko: "언어" },

  welcome: { en: "Come in, the floor is warm.", ko: "어서 오세요, 바닥이 따뜻해요." },
  nickname: { en: "Nickname", ko: "닉네임" },
  user_id: { en: "User ID", ko: "아이디" },
  email: { en: "Email", ko: "이메일" },
  picture: { en: "Picture", ko: "프로필 사진" },
  picture_optional: { en: "web address, optional", ko: "웹 주소, 없어도 돼요" },
  token: { en: "Token", ko: "토큰" },
  token_optional: { en: "only if the server asks for one", ko: "서버가 요구할 때만 입력해요" },
  token_unreadable: { en: "This is no JSON Web Token.", ko: "JSON Web Token이 아니에요." },
  come_in: { en: "Come in", ko: "들어가기" },
  this_tab_only: {
    en: "Kept in this tab only. Open another tab to come in as another user.",
    ko: "이 탭에만 저장돼요. 새 탭을 열면 다른 사람으로 들어갈 수 있어요.",
  },
  fill_in_all: { en: "Fill in everything except the picture.", ko: "프로필 사진 말고는 모두 입력해 주세요." },

  rooms: { en: "Rooms", ko: "방" },
  new_room: { en: "New room", ko: "새 방 이름" },
  create: { en: "Create", ko: "만들기" },
  more_rooms: { en: "More rooms", ko: "방 더 보기" },
  no_rooms: { en: "No rooms yet. Create the first one.", ko: "아직 방이 없어요. 첫 방을 만들어 보세요." },
  rooms_failed: {
    en: "The rooms could not be loaded. Trying again…",
    ko: "방 목록을 불러오지 못했어요. 다시 시도하고 있어요…",
  },
  post: { en: "post {number}", ko: "게시글 {number}" },
  change: { en: "Change", ko: "바꾸기" },
  change_user: { en: "Change user", ko: "사용자 바꾸기" },

  choose_room: { en: "Choose a room, or create one.", ko: "방을 고르거나 새로 만들어 보세요." },
  room_number: { en: "Room {number}", ko: "{number}번 방" },
  back: { en: "Back to the rooms", ko: "방 목록으로" },
  older: { en: "Older messages", ko: "이전 메시지 보기" },
  older_failed: { en: "The older messages could not be loaded.", ko: "이전 메시지를 불러오지 못했어요." },
  newer: { en: "New messages ↓", ko: "새 메시지 ↓" },
  no_messages: { en: "No messages yet. Say hello!", ko: "아직 메시지가 없어요. 먼저 인사해 보세요!" },
  you: { en: "You", ko: "나" },
  joined: { en: "{who} came in", ko: "{who} 님이 들어왔어요" },
  left: { en: "{who} left", ko: "{who} 님이 나갔어요" },

  message: { en: "Message", ko: "메시지" },
  write_message: { en: "Write a message", ko: "메시지를 입력하세요" },
  send: { en: "Send", ko: "보내기" },
  unsent: { en: "Not sent yet", ko: "아직 보내지 않은 메시지" },
  sending: { en: "Sending…", ko: "보내는 중…" },
  no_answer: { en: "The server did not answer.", ko: "서버가 응답하지 않았어요." },
  send_again: { en: "Send again", ko: "다시 보내기" },
  edit: { en: "Edit", ko: "수정" },
  discard: { en: "Discard", ko: "삭제" },

  connecting: { en: "Connecting…", ko: "연결 중…" },
  reconnecting: { en: "Reconnecting…", ko: "다시 연결 중…" },
  try_now: { en: "Try now", ko: "지금 연결" },
  trying_again: { en: "{why} Trying again…", ko: "{why} 다시 시도하고 있어요…" },
  offline: { en: "You are offline.", ko: "인터넷에 연결되어 있지 않아요." },
  paused: { en: "The connection was paused.", ko: "연결을 잠시 멈췄어요." },
  unreachable: { en: "The server cannot be reached.", ko: "서버에 연결할 수 없어요." },
  connection_lost: { en: "The connection was lost.", ko: "연결이 끊어졌어요." },
  too_slow: { en: "The connection was too slow.", ko: "연결이 너무 느렸어요." },
  restarting: { en: "The server is restarting.", ko: "서버가 다시 시작하고 있어요." },
  full: { en: "The server is full.", ko: "서버에 자리가 없어요." },
  messages_failed: { en: "The messages could not be loaded.", ko: "메시지를 불러오지 못했어요." },
  no_room: { en: "There is no such room.", ko: "없는 방이에요." },
  status: { en: "The server answered {status}.", ko: "서버가 {status} 오류로 답했어요." },

  "error.message.blank": { en: "The message must not be blank.", ko: "메시지를 입력해 주세요." },
  "error.message.invalid": {
    en: "The message must not contain control characters.",
    ko: "메시지에 쓸 수 없는 제어 문자가 있어요.",
  },
  "error.message.too_long": {
    en: "The message must have at most {max} characters.",
    ko: "메시지가 너무 길어요. {max}자까지 쓸 수 있어요.",
  },
  "error.name.blank": { en: "The name must not be blank.", ko: "방 이름을 입력해 주세요." },
  "error.name.invalid": {
    en: "The name must not contain line breaks or other control characters.",
    ko: "방 이름에는 줄바꿈이나 제어 문자를 쓸 수 없어요.",
  },
  "error.name.too_long": {
    en: "The name must have at most {max} characters.",
    ko: "방 이름이 너무 길어요. {max}자까지 쓸 수 있어요.",
  },
  "error.not_authenticated": {
    en: "The server did not accept this user. Check the nickname, user ID, email and picture.",
    ko: "서버가 사용자 정보를 받아들이지 않았어요. 닉네임, 아이디, 이메일, 사진 주소를 확인해 주세요.",
  },
  "error.not_found": { en: "Not found.", ko: "찾을 수 없어요." },
  "error.request_too_large": { en: "This is too large to send.", ko: "너무 커서 보낼 수 없어요." },
  "error.origin_not_allowed": {
    en: "The server does not allow connections from this page.",
    ko: "서버가 이 페이지의 연결을 허용하지 않아요.",
  },
  "error.timeout": { en: "The request took too long.", ko: "요청이 너무 오래 걸렸어요." },
  "error.rate_limited": { en: "Too fast. Try again in a moment.", ko: "너무 빨라요. 잠시 뒤에 다시 시도해 주세요." },
  "error.busy": { en: "Too many messages are waiting. Try again.", ko: "밀린 메시지가 많아요. 다시 시도해 주세요." },
  "error.handler_fault": { en: "The server failed to handle this.", ko: "서버가 처리하지 못했어요." },
  "error.unknown": { en: "It is not known whether the message was stored.", ko: "메시지가 저장됐는지 알 수 없어요." },
  "error.not_stored": { en: "The message could not be stored.", ko: "메시지를 저장하지 못했어요." },
  "error.unavailable": { en: "The server cannot do this now.", ko: "서버가 지금은 처리할 수 없어요." },

  guest_cat: { en: "Gentle Cat", ko: "느긋한 고양이" },
  guest_crane: { en: "Kind Crane", ko: "다정한 두루미" },
  guest_magpie: { en: "Cheerful Magpie", ko: "반가운 까치" },
  guest_otter: { en: "Warm Otter", ko: "따뜻한 수달" },
  guest_rabbit: { en: "Curious Rabbit", ko: "궁금한 토끼" },
  guest_raccoon: { en: "Cosy Raccoon", ko: "포근한 너구리" },
  guest_squirrel: { en: "Sleepy Squirrel", ko: "졸린 다람쥐" },
  guest_tiger: { en: "Quiet Tiger", ko: "조용한 호랑이" },
};

// A refusal as a line for the screen: by its code, or in the server's words where the page has no text for it.
export function refusal({ code, field, message }) {
  const key = [`error.${field}.${code}`, `error.${code}`].find((key) => Object.hasOwn(TEXTS, key));
  if (!key) return message;
  // A limit is the operator's to set, and only the server's sentence tells it.
  const max = /\d+/.exec(message)?.[0];
  return max || !TEXTS[key].en.includes("{max}") ? { key, max } : message;
}
