"""The leaderboard: ranking, overview, one page per task, and the files that hold them."""
