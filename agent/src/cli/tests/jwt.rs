//! `api fetch jwt` and `api validate jwt`.

use prost_types::value::Kind;
use serde_json::json;
use signet_cli::testing::Fake;
use signet_proto::workload::{
    JwtBundlesRequest, JwtBundlesResponse, Jwtsvid, JwtsvidRequest, JwtsvidResponse,
    ValidateJwtsvidRequest, ValidateJwtsvidResponse,
};
use tonic::Status;

use super::asked;

const FETCH: &str = "/SpiffeWorkloadAPI/FetchJWTSVID";
const BUNDLES: &str = "/SpiffeWorkloadAPI/FetchJWTBundles";
const VALIDATE: &str = "/SpiffeWorkloadAPI/ValidateJWTSVID";

fn agent() -> Fake {
    Fake::new()
        .on(FETCH, |request: JwtsvidRequest| {
            assert_eq!(request.audience, ["a", "b"]);
            assert_eq!(request.spiffe_id, "spiffe://td/web");
            let svid = Jwtsvid {
                spiffe_id: request.spiffe_id,
                svid: "x.y.z".into(),
                hint: String::new(),
            };
            Ok(JwtsvidResponse { svids: vec![svid] })
        })
        .on(BUNDLES, |_: JwtBundlesRequest| {
            let bundle = ("spiffe://td".to_owned(), "{\"keys\":[]}".into());
            Ok(JwtBundlesResponse {
                bundles: [bundle].into(),
            })
        })
}

#[tokio::test]
async fn tokens_and_bundles_are_shown_with_their_owners() {
    let line = "api fetch jwt -audience a,b -spiffeID spiffe://td/web";
    let answer = asked(&agent(), line).await.unwrap();
    assert_eq!(
        answer.text,
        "token(spiffe://td/web):\n\tx.y.z\nbundle(spiffe://td):\n\t{\"keys\":[]}\n"
    );
    let expected = json!([
        { "svids": [{ "spiffe_id": "spiffe://td/web", "svid": "x.y.z", "hint": "" }] },
        { "bundles": { "spiffe://td": "eyJrZXlzIjpbXX0=" } },
    ]);
    assert_eq!(answer.json, Some(expected));
}

fn validating() -> Fake {
    Fake::new().on(VALIDATE, |request: ValidateJwtsvidRequest| {
        if request.svid != "x.y.z" {
            return Err(Status::invalid_argument("token is malformed"));
        }
        let value = |kind| prost_types::Value { kind: Some(kind) };
        let claims = [
            ("exp".to_owned(), value(Kind::NumberValue(1_769_860_800.0))),
            (
                "sub".to_owned(),
                value(Kind::StringValue("spiffe://td/web".into())),
            ),
        ];
        Ok(ValidateJwtsvidResponse {
            spiffe_id: "spiffe://td/web".into(),
            claims: Some(prost_types::Struct {
                fields: claims.into(),
            }),
        })
    })
}

#[tokio::test]
async fn a_valid_token_is_shown_with_its_claims() {
    let line = "api validate jwt -audience a -svid x.y.z";
    let answer = asked(&validating(), line).await.unwrap();
    assert_eq!(
        answer.text,
        "SVID is valid.\nSPIFFE ID : spiffe://td/web\n\
         Claims    : {\"exp\":1769860800,\"sub\":\"spiffe://td/web\"}\n"
    );
    assert_eq!(answer.json.unwrap()["claims"]["exp"], 1_769_860_800);
}

#[tokio::test]
async fn an_invalid_token_fails_the_command() {
    let line = "api validate jwt -audience a -svid nonsense";
    let failure = asked(&validating(), line).await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "could not validate the JWT-SVID: InvalidArgument: token is malformed"
    );
}
