-- A store as version 1 wrote it. Never change this: it stands for what is out there.
PRAGMA journal_mode = WAL;
PRAGMA application_id = 1128808788;
PRAGMA user_version = 1;

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO meta (name, value) VALUES ('marks', 0), ('missing', 0), ('probes', 0);

CREATE TABLE rooms (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    checksum BLOB NOT NULL
) STRICT;

CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    room INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    time INTEGER NOT NULL,
    sender TEXT NOT NULL,
    device TEXT,
    client_msg_id BLOB NOT NULL,
    kind INTEGER NOT NULL, -- 1 post, 2 edit, 3 delete, 4 react, 5 react no more
    about INTEGER,
    body TEXT NOT NULL,
    erased INTEGER NOT NULL,
    checksum BLOB NOT NULL,
    UNIQUE (room, seq),
    UNIQUE (room, sender, client_msg_id)
) STRICT;

CREATE INDEX edits ON events (room, about) WHERE kind = 2;

CREATE TABLE reads (
    room INTEGER NOT NULL,
    user TEXT NOT NULL,
    seq INTEGER NOT NULL,
    checksum BLOB NOT NULL,
    PRIMARY KEY (room, user)
) STRICT, WITHOUT ROWID;

INSERT INTO meta (name, value) VALUES ('epoch', 4242);

UPDATE meta SET value = 1 WHERE name = 'marks';

INSERT INTO rooms (id, name, checksum) VALUES (1, 'team/a', x'5324F2C1');

INSERT INTO events (id, room, seq, time, sender, device, client_msg_id, kind, about, body, erased, checksum) VALUES
    (1, 1, 1, 1700000000001, 'ann', 'phone', x'00000000000000000000000000000001', 1, NULL, 'Grüße', 0, x'AD253DC5'),
    (2, 1, 2, 1700000000002, 'bob', NULL, x'00000000000000000000000000000001', 1, 1, CAST(x'0000000000' AS TEXT), 1, x'B6CE75E3'),
    (3, 1, 3, 1700000000003, 'ann', NULL, x'00000000000000000000000000000002', 2, 1, 'Grüezi', 0, x'11C65550'),
    (4, 1, 4, 1700000000004, 'bob', NULL, x'00000000000000000000000000000003', 4, 1, '👍', 0, x'345A3BB1'),
    (5, 1, 5, 1700000000005, 'bob', NULL, x'00000000000000000000000000000004', 5, 1, '👍', 0, x'B2A88CA7'),
    (6, 1, 6, 1700000000006, 'bob', NULL, x'00000000000000000000000000000005', 3, 2, '', 0, x'A918146F');

INSERT INTO reads (room, user, seq, checksum) VALUES (1, 'ann', 2, x'A7B385B0');
