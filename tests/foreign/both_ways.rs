//! The same story with our server and SPIRE's agent, and with SPIRE's server and our agent.

/// Two tests of each story, which takes the test's name and whose server and agent it is about.
macro_rules! both_ways {
    ($($story:ident: $ours:ident, $theirs:ident;)*) => {$(
        #[tokio::test]
        async fn $ours() {
            if spire_is_here(stringify!($ours)) {
                $story(stringify!($ours), Maker::Signet, Maker::Spire).await;
            }
        }

        #[tokio::test]
        async fn $theirs() {
            if spire_is_here(stringify!($theirs)) {
                $story(stringify!($theirs), Maker::Spire, Maker::Signet).await;
            }
        }
    )*};
}
