-- A database as a server with version 1 of the schema wrote it.

PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE message (
    id          INTEGER PRIMARY KEY,
    room        INTEGER NOT NULL REFERENCES room (id),
    seq         INTEGER NOT NULL,
    -- The sender's name, address and picture when they said it.
    sender      TEXT NOT NULL,
    nickname    TEXT NOT NULL,
    email       TEXT NOT NULL,
    profile_url TEXT,
    text        TEXT NOT NULL,
    client_id   TEXT,
    parent      INTEGER,
    extra       TEXT,
    created_at  INTEGER NOT NULL
) STRICT;
INSERT INTO "message" VALUES(1,1,1,'ann','민지','minji@example.com',NULL,'안녕하세요!','c0',NULL,NULL,1764201986000);
INSERT INTO "message" VALUES(2,1,2,'ben','준호','junho@example.com','https://pictures.example.com/b.png','점심 먹었어요?',NULL,NULL,NULL,1764201987700);
INSERT INTO "message" VALUES(3,2,1,'ann','민지','minji@example.com',NULL,'아직이요 😅',NULL,NULL,NULL,1764201989400);
INSERT INTO "message" VALUES(4,1,3,'ben','준호','junho@example.com','https://pictures.example.com/b.png','그럼 같이 가요','c3',NULL,NULL,1764201991100);
INSERT INTO "message" VALUES(5,3,1,'ann','민지','minji@example.com',NULL,'좋아요, 12시에 로비에서',NULL,NULL,NULL,1764201992800);
INSERT INTO "message" VALUES(6,1,4,'ben','준호','junho@example.com','https://pictures.example.com/b.png','It''s raining: take an umbrella',NULL,4,NULL,1764201994500);
INSERT INTO "message" VALUES(7,1,5,'ann','민지','minji@example.com',NULL,'네','c6',NULL,NULL,1764201996200);
INSERT INTO "message" VALUES(8,2,2,'ben','준호','junho@example.com','https://pictures.example.com/b.png','URL: https://example.com/?a=1&b="2"',NULL,NULL,NULL,1764201997900);
INSERT INTO "message" VALUES(9,1,6,'ann','민지','minji@example.com',NULL,'두 줄
메시지',NULL,NULL,NULL,1764201999600);
INSERT INTO "message" VALUES(10,3,2,'ben','준호','junho@example.com','https://pictures.example.com/b.png','ㅋㅋㅋ','c9',NULL,NULL,1764202001300);
INSERT INTO "message" VALUES(11,1,7,'ann','민지','minji@example.com',NULL,'안녕하세요! 10',NULL,NULL,NULL,1764202003000);
INSERT INTO "message" VALUES(12,1,8,'ben','준호','junho@example.com','https://pictures.example.com/b.png','점심 먹었어요? 11',NULL,NULL,'{"style":"bold"}',1764202004700);
INSERT INTO "message" VALUES(13,2,3,'ann','민지','minji@example.com',NULL,'아직이요 😅 12','c12',NULL,NULL,1764202006400);
INSERT INTO "message" VALUES(14,1,9,'ben','준호','junho@example.com','https://pictures.example.com/b.png','그럼 같이 가요 13',NULL,NULL,NULL,1764202008100);
INSERT INTO "message" VALUES(15,3,3,'ann','민지','minji@example.com',NULL,'좋아요, 12시에 로비에서 14',NULL,NULL,NULL,1764202009800);
INSERT INTO "message" VALUES(16,1,10,'ben','준호','junho@example.com','https://pictures.example.com/b.png','It''s raining: take an umbrella 15','c15',NULL,NULL,1764202011500);
INSERT INTO "message" VALUES(17,1,11,'ann','민지','minji@example.com',NULL,'네 16',NULL,NULL,NULL,1764202013200);
INSERT INTO "message" VALUES(1001,2,4,'ben','준호','junho@example.com','https://pictures.example.com/b.png','URL: https://example.com/?a=1&b="2" 17',NULL,NULL,NULL,1764202014900);
INSERT INTO "message" VALUES(1002,1,12,'ann','민지','minji@example.com',NULL,'두 줄
메시지 18','c18',NULL,NULL,1764202016600);
INSERT INTO "message" VALUES(1003,3,4,'ben','준호','junho@example.com','https://pictures.example.com/b.png','ㅋㅋㅋ 19',NULL,NULL,NULL,1764202018300);
INSERT INTO "message" VALUES(1004,1,13,'ann','민지','minji@example.com',NULL,'안녕하세요! 20',NULL,NULL,NULL,1764202020000);
INSERT INTO "message" VALUES(1005,1,14,'ben','준호','junho@example.com','https://pictures.example.com/b.png','점심 먹었어요? 21','c21',NULL,NULL,1764202021700);
INSERT INTO "message" VALUES(1006,2,5,'ann','민지','minji@example.com',NULL,'아직이요 😅 22',NULL,NULL,NULL,1764202023400);
INSERT INTO "message" VALUES(1007,1,15,'ben','준호','junho@example.com','https://pictures.example.com/b.png','그럼 같이 가요 23',NULL,NULL,NULL,1764202025100);
INSERT INTO "message" VALUES(1008,3,5,'ann','민지','minji@example.com',NULL,'좋아요, 12시에 로비에서 24','c24',NULL,NULL,1764202026800);
INSERT INTO "message" VALUES(1009,1,16,'ben','준호','junho@example.com','https://pictures.example.com/b.png','It''s raining: take an umbrella 25',NULL,NULL,NULL,1764202028500);
INSERT INTO "message" VALUES(1010,1,17,'ann','민지 (회의 중)','minji@example.com',NULL,'네 26',NULL,NULL,NULL,1764202030200);
INSERT INTO "message" VALUES(1011,2,6,'ben','준호','junho@example.com','https://pictures.example.com/b.png','URL: https://example.com/?a=1&b="2" 27','c27',NULL,NULL,1764202031900);
INSERT INTO "message" VALUES(1012,1,18,'ann','민지 (회의 중)','minji@example.com',NULL,'두 줄
메시지 28',NULL,NULL,NULL,1764202033600);
INSERT INTO "message" VALUES(1013,3,6,'ben','준호','junho@example.com','https://pictures.example.com/b.png','ㅋㅋㅋ 29',NULL,NULL,NULL,1764202035300);
INSERT INTO "message" VALUES(1014,1,19,'ann','민지 (회의 중)','minji@example.com',NULL,'안녕하세요! 30','c30',NULL,NULL,1764202037000);
INSERT INTO "message" VALUES(1015,1,20,'ben','준호','junho@example.com','https://pictures.example.com/b.png','점심 먹었어요? 31',NULL,NULL,NULL,1764202038700);
INSERT INTO "message" VALUES(1016,2,7,'ann','민지 (회의 중)','minji@example.com',NULL,'아직이요 😅 32',NULL,NULL,NULL,1764202040400);
INSERT INTO "message" VALUES(1017,1,21,'ben','준호','junho@example.com','https://pictures.example.com/b.png','그럼 같이 가요 33','c33',1015,NULL,1764202042100);
INSERT INTO "message" VALUES(1018,3,7,'ann','민지 (회의 중)','minji@example.com',NULL,'좋아요, 12시에 로비에서 34',NULL,NULL,NULL,1764202043800);
INSERT INTO "message" VALUES(1019,1,22,'ben','준호','junho@example.com','https://pictures.example.com/b.png','It''s raining: take an umbrella 35',NULL,NULL,NULL,1764202045500);
INSERT INTO "message" VALUES(1020,1,23,'ann','민지 (회의 중)','minji@example.com',NULL,'네 36','c36',NULL,NULL,1764202047200);
INSERT INTO "message" VALUES(1021,2,8,'ben','준호','junho@example.com','https://pictures.example.com/b.png','URL: https://example.com/?a=1&b="2" 37',NULL,NULL,NULL,1764202048900);
INSERT INTO "message" VALUES(1022,1,24,'ann','민지 (회의 중)','minji@example.com',NULL,'두 줄
메시지 38',NULL,NULL,NULL,1764202050600);
INSERT INTO "message" VALUES(1023,3,8,'ben','준호','junho@example.com','https://pictures.example.com/b.png','ㅋㅋㅋ 39','c39',NULL,NULL,1764202052300);
CREATE TABLE room (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL,
    -- A post has at most one room. A room may have no post.
    post_id    INTEGER UNIQUE,
    owner      TEXT,
    -- Milliseconds since 1970, as everywhere.
    created_at INTEGER NOT NULL
) STRICT;
INSERT INTO "room" VALUES(1,'온돌방',NULL,'ann',1764201981000);
INSERT INTO "room" VALUES(2,'Lunch',7,'ben',1764201982000);
INSERT INTO "room" VALUES(3,'공지',NULL,NULL,1764201983000);
INSERT INTO "room" VALUES(4,'empty',NULL,NULL,1764201984000);
CREATE UNIQUE INDEX message_by_seq ON message (room, seq);
CREATE UNIQUE INDEX message_by_client_id ON message (room, sender, client_id) WHERE client_id IS NOT NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('room',4);
COMMIT;
PRAGMA user_version = 1;
