#!/usr/bin/env bash
# From a cluster to an agent that answers: builds the images, installs the chart as an evaluation, deploys
# examples/echo-agent with the official CLI and asks it something. docs/kubernetes.md walks through the same steps, and CI
# runs this. A second run upgrades what the first one made.
#
#   deploy/kubernetes/try.sh            everything up to an agent's answer
#   deploy/kubernetes/try.sh --down     take it all away again
#
# KUBECONFIG says which cluster. These have values that fit a local one:
#   REGISTRY  where this machine pushes (localhost:5000/graphyard), plain HTTP on a loopback
#   PULL      the same as nodes and builds name it (REGISTRY), and REGISTRY_API its URL as pods reach it (by that name)
#   BASE      Debian 12 with Python, as deploy/images/base makes it (localhost:5000/python:3.11)
#   URL       where the cluster's ingress controller is reached from here (http://127.0.0.1:8880)
#   RELEASE, NAMESPACE, AGENTS   names (graphyard, graphyard, graphyard-agents)
#   VALUES    more values for the chart, a file
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
registry=${REGISTRY:-localhost:5000/graphyard} base=${BASE:-localhost:5000/python:3.11}
url=${URL:-http://127.0.0.1:8880} release=${RELEASE:-graphyard} namespace=${NAMESPACE:-graphyard}
pull=${PULL:-$registry} agents=${AGENTS:-graphyard-agents} tag=${TAG:-test} patience=${PATIENCE:-600}
python=$PWD/.venv/bin/python
say() { printf '%s  %s\n' "$(date +%T)" "$*"; }
[ -x "$python" ] || { echo "try: no .venv here: run \`make up\` or \`make test\` once, or deploy/install.sh" >&2; exit 1; }

if [ "${1:-}" = --down ]; then
    "$python" -P deploy/kubernetes/chart.py uninstall "$release" "$namespace"
    kubectl delete namespace "$namespace" "$agents" --ignore-not-found
    exit
fi

say "images, to $registry"
deploy/images/build --registry "$registry" --base "$base" --tag "$tag" \
    graphyard temporal postgres valkey builder server

say "chart, to namespace $namespace"
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
cat > "$work/values.yaml" << END
publicUrl: $url
image: {repository: $pull/graphyard, tag: $tag, pullPolicy: Always}
evaluation:
  enabled: true
  temporal: {image: "$pull/temporal:$tag"}
  postgres: {image: "$pull/postgres:$tag"}
planes:
  - name: main
    namespace: $agents
planeDefaults:
  registry: {address: "$pull", insecure: true, api: "${REGISTRY_API:-}"}
  images:
    servers: {pg-3.11: "$pull/server:pg-3.11", inmem-3.11: "$pull/server:inmem-3.11"}
    builder: $pull/builder:$tag
    postgres: $pull/postgres:$tag
    valkey: $pull/valkey:$tag
END
"$python" -P deploy/kubernetes/chart.py install "$release" "$namespace" "$work/values.yaml" ${VALUES:+"$VALUES"}

say "waiting for the workers"
for one in $(kubectl -n "$namespace" get deployments -o name); do
    kubectl -n "$namespace" rollout status "$one" --timeout="${patience}s"
done
say "waiting for the API at $url"
until curl --noproxy '*' -fsS -m 5 "$url/ready" > "$work/ready" 2>/dev/null; do
    [ "$SECONDS" -lt "$patience" ] || { echo "try: $url/ready does not answer" >&2; exit 1; }
    sleep 1
done

say "echo-agent, by langgraph deploy"
key=$(kubectl -n "$namespace" get secret -l "app.kubernetes.io/instance=$release" \
    -o go-template='{{range .items}}{{with index .data "api-key"}}{{. | base64decode}}{{end}}{{end}}')
cp -r examples/echo-agent "$work/agent"
export LANGGRAPH_HOST_URL=$url/api-host LANGGRAPH_HOST_API_KEY=$key LANGGRAPH_CLI_NO_ANALYTICS=1
export NO_PROXY="${NO_PROXY:-${no_proxy:-}},127.0.0.1,localhost"
export no_proxy=$NO_PROXY
(cd "$work/agent" && timeout "$patience" "$python" -P -m langgraph_cli deploy --remote --name try) < /dev/null

say "asking it"
agent=$(curl -fsS -H "X-Api-Key: $key" "$url/v2/deployments?name_contains=try" |
    "$python" -c 'import json, sys; print(json.load(sys.stdin)["resources"][0]["url"])')
curl -fsS -m 60 -H "X-Api-Key: $key" -H 'Content-Type: application/json' \
    -d '{"assistant_id": "echo", "input": {"text": "it works"}}' "$agent/runs/wait"
echo
say "$agent answers, $SECONDS s after the start"
