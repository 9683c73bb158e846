"""Health checks for load balancers and monitoring: whether the server, the database, Redis and the workers
run. `worker_health` reads the heartbeats of the workers."""
