"""What the cache holds, whether it is whole, what may go, and how features travel to another machine."""
