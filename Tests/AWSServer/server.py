"""An AWS that checks signatures (moto), with one user who may read and write parameters. Started by AWSServer.swift: writes its port
and the user's keys into FOLDER/ready, takes parameters as lines of JSON, and ends when its input does."""

import json
import os
import sys

os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "3"
os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "false"

import boto3  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402


def write(path, text):
    with open(path + ".new", "w") as file:
        file.write(text)
    os.rename(path + ".new", path)


def main(folder, port):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    place = {"endpoint_url": f"http://127.0.0.1:{port}", "region_name": "eu-central-1"}
    nobody = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}

    iam = boto3.client("iam", **place, **nobody)
    iam.create_user(UserName="martlet")
    allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ssm:*", "Resource": "*"}]}
    iam.put_user_policy(UserName="martlet", PolicyName="parameters", PolicyDocument=json.dumps(allowed))
    key = iam.create_access_key(UserName="martlet")["AccessKey"]
    # From here on every signature is checked.
    ssm = boto3.client(
        "ssm", **place, aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    write(
        os.path.join(folder, "ready"),
        json.dumps({"port": port, "accessKey": key["AccessKeyId"], "secretKey": key["SecretAccessKey"]}))
    done = 0
    for line in sys.stdin:
        order = json.loads(line)
        if "value" in order:
            ssm.put_parameter(Name=order["name"], Value=order["value"], Type=order["type"], Overwrite=True)
        else:
            ssm.delete_parameter(Name=order["name"])
        done += 1
        write(os.path.join(folder, "done"), str(done))
    server.stop()


main(sys.argv[1], int(sys.argv[2]))
