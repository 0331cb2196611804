//! Who is at the other end of the socket, and which selectors it has.
