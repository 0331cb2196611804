//! AWS's API by moto, as a server of its own.

use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::aws::{ACCOUNT, REGION};
use crate::{Process, skip, wait, wire};

/// Allows everything.
const POLICY: &str = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A\
                      %22Allow%22%2C%22Action%22%3A%22%2A%22%2C%22Resource%22%3A%22%2A%22%7D%5D%7D";

/// Lets everybody take the role.
const TRUST: &str = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A\
                     %22Allow%22%2C%22Principal%22%3A%7B%22AWS%22%3A%22%2A%22%7D%2C%22Action%22%3A\
                     %22sts%3AAssumeRole%22%7D%5D%7D";

/// A key, as AWS hands it out.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its name.
    pub id: String,
    /// The key.
    pub secret: String,
    /// With the key of a role.
    pub token: Option<String>,
}

/// AWS's API by moto.
#[derive(Debug)]
pub struct Moto {
    _process: Process,
    port: u16,
}

impl Moto {
    /// Starts `MOTO_SERVER`, or skips the scenario `name`.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(directory: &Path, name: &str) -> Option<Self> {
        let program = skip::path_from("MOTO_SERVER", name)?;
        let port = wire::free_port().await;
        let number = port.to_string();
        let log = directory.join("moto.log");
        let mut process = Process::start(&program, &["-H", "127.0.0.1", "-p", &number], &log);
        wait::until("a moto server", async || {
            assert!(process.is_running(), "moto ended:\n{}", process.log());
            wire::http_get(port, "/moto-api/").await
        })
        .await;
        let _process = process;
        Some(Self { _process, port })
    }

    /// Where it is.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The answer to an action of a service with its API's version and parameters.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn act(&self, service: &str, form: &str) -> String {
        let kind = "application/x-www-form-urlencoded";
        self.post(service, &format!("Content-Type: {kind}\r\n"), form)
            .await
    }

    /// The answer to an action of Organizations.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn organizations(&self, action: &str) -> String {
        let headers = format!(
            "Content-Type: application/x-amz-json-1.1\r\n\
             X-Amz-Target: AWSOrganizationsV20161128.{action}\r\n"
        );
        self.post("organizations", &headers, "{\"FeatureSet\":\"ALL\"}")
            .await
    }

    /// From now on moto lets that many calls through and then checks, with botocore, the signature of each.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn check_signatures_after(&self, calls: usize) {
        self.send("ec2", "/moto-api/reset-auth", "", &calls.to_string())
            .await;
    }

    /// The key of a user who may do everything.
    ///
    /// # Panics
    /// When moto does not make one.
    pub async fn user(&self) -> Key {
        let version = "Version=2010-05-08&UserName=signet";
        self.act("iam", &format!("Action=CreateUser&{version}"))
            .await;
        let policy = format!("PolicyName=all&PolicyDocument={POLICY}");
        self.act("iam", &format!("Action=PutUserPolicy&{version}&{policy}"))
            .await;
        let form = format!("Action=CreateAccessKey&{version}");
        key_in(&self.act("iam", &form).await)
    }

    /// The key of the role `web`, which may do everything, for an hour.
    ///
    /// # Panics
    /// When moto does not give one.
    pub async fn role(&self) -> Key {
        let form = format!(
            "Action=AssumeRole&Version=2011-06-15&RoleSessionName=test\
             &RoleArn=arn%3Aaws%3Aiam%3A%3A{ACCOUNT}%3Arole%2Fweb"
        );
        key_in(&self.act("sts", &form).await)
    }

    /// An instance in a node group of a new EKS cluster of this name.
    ///
    /// # Panics
    /// When moto does not make them.
    pub async fn node(&self, cluster: &str) -> String {
        let role = format!("arn:aws:iam::{ACCOUNT}:role/web");
        let body = json!({"name": cluster, "roleArn": role, "resourcesVpcConfig": {}});
        self.eks("/clusters", &body).await;
        let path = format!("/clusters/{cluster}/node-groups");
        let body = json!({"nodegroupName": "workers", "nodeRole": role, "subnets": ["subnet-1"]});
        let group = self.eks(&path, &body).await;
        let group = group["nodegroup"]["resources"]["autoScalingGroups"][0]["name"].clone();
        let group = group.as_str().expect("a group's name");
        for form in [
            "Action=CreateLaunchConfiguration&LaunchConfigurationName=node&ImageId=ami-12c6146b\
             &InstanceType=t2.micro"
                .to_owned(),
            format!(
                "Action=CreateAutoScalingGroup&AutoScalingGroupName={group}&MinSize=1&MaxSize=1\
                 &LaunchConfigurationName=node&AvailabilityZones.member.1={REGION}a"
            ),
        ] {
            let form = format!("{form}&Version=2011-01-01");
            self.act("autoscaling", &form).await;
        }
        let form = "Action=DescribeAutoScalingInstances&Version=2011-01-01";
        between(&self.act("autoscaling", form).await, "<InstanceId>")
    }

    async fn eks(&self, path: &str, body: &Value) -> Value {
        let kind = "Content-Type: application/json\r\n";
        let answer = self.send("eks", path, kind, &body.to_string()).await;
        let body = answer.split_once("\r\n\r\n").expect("an answer").1;
        serde_json::from_str(body).expect("JSON of moto")
    }

    async fn post(&self, service: &str, headers: &str, body: &str) -> String {
        self.send(service, "/", headers, body).await
    }

    /// moto reads from the signature which service is meant, and checks nothing of it until it is told to.
    async fn send(&self, service: &str, path: &str, headers: &str, body: &str) -> String {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await;
        let mut stream = stream.expect("a connection to moto");
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
             Content-Length: {}\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential=test/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, \
             Signature=0\r\n\r\n{body}",
            body.len()
        );
        stream
            .write_all(request.as_bytes())
            .await
            .expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.contains(" 200 "), "{answer}");
        answer
    }

    /// Starts an instance with the tag `Name` and an instance profile `web` with a role `web`; gives
    /// its ID.
    ///
    /// # Panics
    /// When moto does not do it.
    pub async fn instance(&self, name: &str) -> String {
        let role = format!(
            "Action=CreateRole&Version=2010-05-08&RoleName=web&AssumeRolePolicyDocument={TRUST}"
        );
        let policy = format!(
            "Action=PutRolePolicy&Version=2010-05-08&RoleName=web&PolicyName=all&PolicyDocument={POLICY}"
        );
        for form in [
            &role,
            "Action=CreateInstanceProfile&Version=2010-05-08&InstanceProfileName=web",
            "Action=AddRoleToInstanceProfile&Version=2010-05-08&InstanceProfileName=web&RoleName=web",
            &policy,
        ] {
            self.act("iam", form).await;
        }
        let form = format!(
            "Action=RunInstances&Version=2016-11-15&ImageId=ami-12c6146b&MinCount=1&MaxCount=1\
             &IamInstanceProfile.Name=web&TagSpecification.1.ResourceType=instance\
             &TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value={name}"
        );
        let made = self.act("ec2", &form).await;
        between(&made, "<instanceId>")
    }
}

fn key_in(answer: &str) -> Key {
    let token = answer.contains("<SessionToken>");
    Key {
        id: between(answer, "<AccessKeyId>"),
        secret: between(answer, "<SecretAccessKey>"),
        token: token.then(|| between(answer, "<SessionToken>")),
    }
}

/// The text behind a tag.
fn between(answer: &str, tag: &str) -> String {
    let text = answer
        .split_once(tag)
        .and_then(|(_, rest)| rest.split_once('<'));
    text.unwrap_or_else(|| panic!("no {tag} in {answer}"))
        .0
        .to_owned()
}
