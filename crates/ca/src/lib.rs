//! Signs what is already approved: X.509- and JWT-SVIDs, authority slots.
