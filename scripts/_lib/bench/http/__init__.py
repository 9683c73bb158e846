"""`scripts/bench http`: pages and JSON beside other stacks, on one PostgreSQL and the same rows.

`benchmark` is the entry point. `seeds` fills the database, `load_generator` sends requests, `throughput`
measures our web server and a peer in turns, `statement_proxy` counts what one request asks PostgreSQL,
`static_files` what a browser fetches for a first page. The peers, with their own locked requirements, are in
`peers`.
"""
