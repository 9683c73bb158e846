"""The engine, pure: standard library, msgspec structs and `app.filters` only. It reads no clock, opens no
connection and decides everything: who enters, what happens next, what is wrong with a draft."""
