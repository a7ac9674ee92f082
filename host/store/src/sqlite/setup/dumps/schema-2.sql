-- A database as a server with version 2 of the schema wrote it.

PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE bad_version (
    id        TEXT PRIMARY KEY,
    evidence  TEXT NOT NULL,
    marked_at INTEGER NOT NULL
) STRICT;
INSERT INTO "bad_version" VALUES('b556562e992a9040d519580c11662a23e9e2ab658a00ed55310f20eab00fdd19','3 of 20 calls failed',1764202007000);
CREATE TABLE component (
    -- 64 hexadecimal digits.
    sha256 TEXT PRIMARY KEY,
    wasm   BLOB NOT NULL
) STRICT;
INSERT INTO "component" VALUES('45e5cc7899987419c186c1d024054447f1ef3baddaaf38c82f7d02c683ad5fd3',X'0061736D726F6F6D73');
INSERT INTO "component" VALUES('827d29832cf63118f3b6369ef07e95b935234f2a6ec1593643e7dbcae94fa067',X'0061736D6D65737361676573');
INSERT INTO "component" VALUES('d7f48b7179aba738094a90970d14d30f9ac5560b93fdc9f18adfc40a22a378e4',X'0061736D6576656E7473');
INSERT INTO "component" VALUES('3352c11a3594f85057c7901e29617b643511a3d149fc986076efe89854c8b4ae',X'0061736D6576656E747332');
CREATE TABLE directory (
    handler  TEXT PRIMARY KEY,
    -- The SHA-256 of the file; empty if none was admitted yet.
    sha256   TEXT NOT NULL,
    settings TEXT NOT NULL
) STRICT;
INSERT INTO "directory" VALUES('rooms','45e5cc7899987419c186c1d024054447f1ef3baddaaf38c82f7d02c683ad5fd3','{}');
INSERT INTO "directory" VALUES('messages','827d29832cf63118f3b6369ef07e95b935234f2a6ec1593643e7dbcae94fa067','{}');
INSERT INTO "directory" VALUES('events','d7f48b7179aba738094a90970d14d30f9ac5560b93fdc9f18adfc40a22a378e4','{}');
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
CREATE TABLE release (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The ids of its versions, which may be deleted before the release is.
    rooms      TEXT NOT NULL,
    messages   TEXT NOT NULL,
    events     TEXT NOT NULL,
    who        TEXT NOT NULL,
    -- deploy, directory, rollback …
    how        TEXT NOT NULL,
    why        TEXT NOT NULL,
    -- The earlier release that it restored.
    back_to    INTEGER,
    created_at INTEGER NOT NULL,
    -- active, replaced, rolled_back, refused, broken.
    outcome    TEXT NOT NULL,
    -- What led to the outcome.
    detail     TEXT
) STRICT;
INSERT INTO "release" VALUES(1,'80990240f61fffc9a9a111372b2ee3408c2efa5f8933ca320e744ec16bb00a2b','2c753e3a71d417e1f46737f608a66c901b9a53090a861113320580bed67944d6','ae6a318f384eff0e65ef61d0ccea5922222c4d6d66adcada7aeee89430957b9c','start','directory','',NULL,1764201980000,'replaced',NULL);
INSERT INTO "release" VALUES(2,'80990240f61fffc9a9a111372b2ee3408c2efa5f8933ca320e744ec16bb00a2b','2c753e3a71d417e1f46737f608a66c901b9a53090a861113320580bed67944d6','b556562e992a9040d519580c11662a23e9e2ab658a00ed55310f20eab00fdd19','kim','deploy','shorter names',NULL,1764202006000,'rolled_back','probation: 3 of 20 calls failed');
INSERT INTO "release" VALUES(3,'80990240f61fffc9a9a111372b2ee3408c2efa5f8933ca320e744ec16bb00a2b','2c753e3a71d417e1f46737f608a66c901b9a53090a861113320580bed67944d6','ae6a318f384eff0e65ef61d0ccea5922222c4d6d66adcada7aeee89430957b9c','probation','rollback','',1,1764202007000,'active',NULL);
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
CREATE TABLE version (
    -- The SHA-256 of the component and its settings, 64 hexadecimal digits.
    id          TEXT PRIMARY KEY,
    handler     TEXT NOT NULL,
    component   TEXT NOT NULL REFERENCES component (sha256),
    -- A JSON object of strings.
    settings    TEXT NOT NULL,
    -- The cases that it was deployed with, as TOML.
    cases       TEXT,
    first_seen  INTEGER NOT NULL,
    -- When it last became part of the active release.
    last_active INTEGER NOT NULL
) STRICT;
INSERT INTO "version" VALUES('80990240f61fffc9a9a111372b2ee3408c2efa5f8933ca320e744ec16bb00a2b','rooms','45e5cc7899987419c186c1d024054447f1ef3baddaaf38c82f7d02c683ad5fd3','{}','[[case]]
',1764201980000,1764201980500);
INSERT INTO "version" VALUES('2c753e3a71d417e1f46737f608a66c901b9a53090a861113320580bed67944d6','messages','827d29832cf63118f3b6369ef07e95b935234f2a6ec1593643e7dbcae94fa067','{"text_length_max":"500"}',NULL,1764201980000,1764201980500);
INSERT INTO "version" VALUES('ae6a318f384eff0e65ef61d0ccea5922222c4d6d66adcada7aeee89430957b9c','events','d7f48b7179aba738094a90970d14d30f9ac5560b93fdc9f18adfc40a22a378e4','{}',NULL,1764201980000,1764201980500);
INSERT INTO "version" VALUES('b556562e992a9040d519580c11662a23e9e2ab658a00ed55310f20eab00fdd19','events','3352c11a3594f85057c7901e29617b643511a3d149fc986076efe89854c8b4ae','{}',NULL,1764201980000,1764201980500);
CREATE UNIQUE INDEX message_by_seq ON message (room, seq);
CREATE UNIQUE INDEX message_by_client_id ON message (room, sender, client_id) WHERE client_id IS NOT NULL;
CREATE INDEX version_by_use ON version (handler, last_active);
CREATE UNIQUE INDEX release_active ON release (outcome) WHERE outcome = 'active';
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('room',4);
INSERT INTO "sqlite_sequence" VALUES('release',3);
COMMIT;
PRAGMA user_version = 2;
