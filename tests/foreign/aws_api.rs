//! Our calls of AWS's API, judged by moto: it checks their signatures with botocore, AWS's own library.
//! Those without a body moto misjudges, botocore's own too, so that botocore is asked itself.

use std::sync::Arc;

use serde_json::json;
use signet_cloud::aws::{Aws, AwsError, AwsSettings, Environment, Identity, Partition};
use signet_runtime::SystemClock;
use signet_tests::aws::{ACCOUNT, REGION};
use signet_tests::moto::{Key, Moto};
use signet_tests::scene::directory;
use signet_tests::{command, skip};
use tempfile::TempDir;

use crate::web::{Answer, Asked, Web, local};

const INSTANCE: &str = "i-1234567890abcdef0";

const KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "key"),
    ("AWS_SECRET_ACCESS_KEY", "secret/with+signs"),
];

/// An API with one instance that has a role.
struct Ground {
    moto: Moto,
    instance: String,
    directory: TempDir,
}

impl Ground {
    async fn new(name: &str) -> Option<Self> {
        let directory = directory();
        let moto = Moto::start(directory.path(), name).await?;
        let instance = moto.instance("web-7").await;
        Some(Self {
            moto,
            instance,
            directory,
        })
    }

    fn aws(&self, variables: &[(&str, &str)]) -> Aws {
        let environment = environment(variables, &self.moto.endpoint());
        let settings = AwsSettings {
            partition: Partition::Standard,
            keys: None,
            environment,
        };
        Aws::new(settings, Arc::new(SystemClock)).unwrap()
    }

    /// The instance is found by whoever the client is.
    async fn finds_the_instance(&self, aws: &Aws) {
        let found = aws.describe_instance(&Identity::Own, REGION, &self.instance);
        let found = found.await.unwrap().unwrap();
        assert_eq!(found.tags, [("Name".to_owned(), "web-7".to_owned())]);
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }
}

#[tokio::test]
async fn botocore_finds_the_signature_of_each_of_our_calls_right() {
    const NAME: &str = "botocore_finds_the_signature_of_each_of_our_calls_right";
    let Some(ground) = Ground::new(NAME).await else {
        return;
    };
    ground.moto.organizations("CreateOrganization").await;
    let key = ground.moto.user().await;
    ground.moto.check_signatures_after(0).await;
    let right = [
        ("AWS_ACCESS_KEY_ID", &*key.id),
        ("AWS_SECRET_ACCESS_KEY", &*key.secret),
    ];
    let role = Identity::Role(format!("arn:aws:iam::{ACCOUNT}:role/web"));
    for who in [Identity::Own, role] {
        let aws = ground.aws(&right);
        ground.finds_the_instance(&aws).await;
        let roles = aws.instance_profile_roles(&who, REGION, "web").await;
        assert_eq!(roles.unwrap(), [format!("arn:aws:iam::{ACCOUNT}:role/web")]);
        let accounts = aws.list_accounts(&who, REGION).await.unwrap();
        assert_eq!(accounts[0].id, ACCOUNT);
    }
    let wrong = [right[0], ("AWS_SECRET_ACCESS_KEY", "wrong")];
    let (aws, who) = (ground.aws(&wrong), Identity::Own);
    refused(aws.describe_instance(&who, REGION, INSTANCE).await);
    refused(aws.instance_profile_roles(&who, REGION, "web").await);
    refused(aws.list_accounts(&who, REGION).await);
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, AwsError>) {
    let Err(AwsError::Refused { code, .. }) = &outcome else {
        panic!("{outcome:?}")
    };
    assert!(
        ["AuthFailure", "SignatureDoesNotMatch"].contains(&&**code),
        "{code}"
    );
}

#[tokio::test]
async fn a_node_is_found_in_its_cluster_of_moto_and_no_other_instance() {
    const NAME: &str = "a_node_is_found_in_its_cluster_of_moto_and_no_other_instance";
    let Some(ground) = Ground::new(NAME).await else {
        return;
    };
    let node = ground.moto.node("demo").await;
    let aws = ground.aws(&KEYS);
    for (instance, is_node) in [(&node, true), (&ground.instance, false)] {
        let found = aws.is_in_cluster(&Identity::Own, REGION, "demo", instance);
        assert_eq!(found.await.unwrap(), is_node);
    }
    let other = aws.is_in_cluster(&Identity::Own, REGION, "other", &node);
    assert!(matches!(other.await, Err(AwsError::Refused { .. })));
}

#[tokio::test]
async fn botocore_gives_a_path_with_odd_characters_our_signature() {
    local(async {
        const NAME: &str = "botocore_gives_a_path_with_odd_characters_our_signature";
        let Some(moto) = skip::path_from("MOTO_SERVER", NAME) else {
            return;
        };
        let eks = Web::new(|_| Answer::Ok(b"{\"nodegroups\":[]}".to_vec())).await;
        let settings = AwsSettings {
            partition: Partition::Standard,
            keys: None,
            environment: environment(&KEYS, &eks.url),
        };
        let aws = Aws::new(settings, Arc::new(SystemClock)).unwrap();
        let cluster = "a b/c+d~\u{fc}%";
        let found = aws.is_in_cluster(&Identity::Own, REGION, cluster, INSTANCE);
        assert!(!found.await.unwrap());
        let asked = eks.asked().remove(0);
        let header = |name: &str| {
            let mut lines = asked.headers.lines();
            let value = lines.find_map(|line| line.strip_prefix(&format!("{name}: ")));
            value.unwrap().to_owned()
        };
        let (authorization, host) = (header("authorization"), header("host"));
        assert!(authorization.contains("signedheaders=host;x-amz-date,"));
        let request = json!({
            "method": "GET", "url": asked.line.replace("GET ", &format!("http://{host}")),
            "headers": {"host": host, "x-amz-date": header("x-amz-date").to_uppercase()},
            "region": REGION, "service": "eks", "secret": KEYS[1].1,
        });
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/moto/signature.py");
        let python = moto.with_file_name("python");
        let signature = command::run(python, &[script, &request.to_string()])
            .await
            .ok();
        let ours = authorization.rsplit_once("signature=").unwrap().1;
        assert_eq!(ours, signature.trim());
    })
    .await;
}

#[tokio::test]
async fn a_web_identity_becomes_a_role_that_moto_knows() {
    let Some(ground) = Ground::new("a_web_identity_becomes_a_role_that_moto_knows").await else {
        return;
    };
    let token = ground.file("token", "a.token.of-the-cluster\n");
    let role = format!("arn:aws:iam::{ACCOUNT}:role/web");
    let aws = ground.aws(&[
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &token),
        ("AWS_ROLE_ARN", &role),
    ]);
    // The first call takes the role; it has no signature.
    ground.moto.check_signatures_after(1).await;
    ground.finds_the_instance(&aws).await;
}

#[tokio::test]
async fn the_role_of_a_container_is_one_that_moto_knows() {
    local(async {
        let name = "the_role_of_a_container_is_one_that_moto_knows";
        let Some(ground) = Ground::new(name).await else {
            return;
        };
        let credentials = credentials(&ground.moto.role().await);
        let platform = Web::new(move |asked: &Asked| {
            let is_right = asked.line == "GET /v1/credentials"
                && asked.headers.contains("authorization: of the pod");
            match is_right {
                true => Answer::Ok(credentials.clone()),
                false => Answer::Status(401),
            }
        })
        .await;
        let token = ground.file("token", "of the pod\n");
        let url = format!("{}/v1/credentials", platform.url);
        let aws = ground.aws(&[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token),
        ]);
        ground.moto.check_signatures_after(0).await;
        ground.finds_the_instance(&aws).await;
    })
    .await;
}

#[tokio::test]
async fn the_role_of_an_instance_is_one_that_moto_knows() {
    local(async {
        let name = "the_role_of_an_instance_is_one_that_moto_knows";
        let Some(ground) = Ground::new(name).await else {
            return;
        };
        let credentials = credentials(&ground.moto.role().await);
        let path = "/latest/meta-data/iam/security-credentials/";
        let metadata = Web::new(move |asked: &Asked| {
            let with_token = asked.headers.contains("x-aws-ec2-metadata-token: t\r\n")
                || asked.headers.ends_with("x-aws-ec2-metadata-token: t");
            let question = asked.line.strip_prefix("GET ");
            match question.and_then(|line| line.strip_prefix(path)) {
                None if asked.line == "PUT /latest/api/token" => Answer::Ok(b"t".to_vec()),
                Some("") if with_token => Answer::Ok(b"web".to_vec()),
                Some("web") if with_token => Answer::Ok(credentials.clone()),
                _ => Answer::Status(401),
            }
        })
        .await;
        let aws = ground.aws(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata.url)]);
        ground.moto.check_signatures_after(0).await;
        ground.finds_the_instance(&aws).await;
    })
    .await;
}

fn environment(variables: &[(&str, &str)], endpoint: &str) -> Environment {
    Environment::read(|name| {
        let mut all = variables
            .iter()
            .copied()
            .chain([("AWS_ENDPOINT_URL", endpoint)]);
        let found = all.find(|(one, _)| *one == name);
        found.map(|(_, value)| value.to_owned())
    })
}

/// As metadata services write them.
fn credentials(key: &Key) -> Vec<u8> {
    let credentials = json!({
        "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z",
        "AccessKeyId": key.id, "SecretAccessKey": key.secret, "Token": key.token,
        "Expiration": "2099-01-01T00:00:00Z",
    });
    credentials.to_string().into_bytes()
}
