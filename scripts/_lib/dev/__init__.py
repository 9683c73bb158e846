"""What a developer runs each day, and the servers that scripts and tests start.

Commands: `setup`, `dev`, `console`, `test`, `lint` (with `naming`), `ci`, `migration`, `lock`. `launcher`
starts each of them inside `.venv`, which `virtualenv` creates. `postgres` and `valkey` are the embedded
servers; `processes`, `supervisor`, `data_folder` and `system_users` are what `dev` is built from.

Modules that run before `.venv` exists (`launcher`, `virtualenv`, `setup`, `vendor`, `terminal`) import only
the standard library.
"""
