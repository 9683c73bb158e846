"""The Jobs page: failures (`failures`), open circuit breakers (`circuit_breakers`) and jobs, which a member
retries or cancels (`use_cases`). `commands` is `litestar engine`, which holds and releases the engine."""
