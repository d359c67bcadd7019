-- Runs before any code of this schema: certificates, and users of nodes.

CREATE TABLE certificate (
    no INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL,
    state_us INTEGER NOT NULL,
    document BLOB NOT NULL,
    UNIQUE (account, key)
);

-- What is never shown again, sealed with a key that is not in the database.
CREATE TABLE certificate_secret (
    no INTEGER PRIMARY KEY,
    secret BLOB NOT NULL
);

CREATE TABLE node_user (
    no INTEGER PRIMARY KEY,
    node_no INTEGER NOT NULL,
    key TEXT NOT NULL,
    document BLOB NOT NULL,
    UNIQUE (node_no, key)
);
