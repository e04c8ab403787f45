"""Renders the Helm chart into the plain manifests of deploy/kubernetes, or tells whether they are up to date.

The chart is the source, Helm's own library does the rendering (helm-python-sdk). Run it as `cargo xtask manifests`.
"""

import pathlib
import re
import sys

import helm_python
import yaml

HERE = pathlib.Path(__file__).parent
CHART = HERE / "helm" / "poolkeeper"
TARGET = HERE / "kubernetes"
NAMESPACE = "poolkeeper-system"

VALUES = {
    "namespace": {"create": True},
    "admission": {"mutating": "always"},
    "monitoring": {"serviceMonitor": True, "prometheusRule": True},
    "provisioning": {"clusterApi": True},
}

# File of plain manifests, templates in it, what the file says of itself.
FILES = {
    "namespace.yaml": (["namespace"], "The namespace of the server."),
    "rbac.yaml": (["serviceaccount", "rbac"], "The account of the server and its rights."),
    "admission.yaml": (["fence", "policies"], "The fence: policies with which the API server refuses stale and foreign writers."),
    "mutating-admission.yaml": (
        ["mutating"],
        "Node selector and toleration for the pods of pools. Kubernetes 1.36 and newer; with 1.34 and 1.35 as v1beta1, where it is switched on.",
    ),
    "provisioning.yaml": (
        ["provisioning"],
        "For machines that are made by Cluster API: rights and their fence. The Cluster is in the namespace default here; the Role is where it is.",
    ),
    "server.yaml": (["configmap", "service", "deployment", "pdb", "networkpolicy"], "The server. Two Secrets have to be there: see docs/operations.md."),
    "monitoring.yaml": (["servicemonitor", "prometheusrule"], "For clusters with the Prometheus operator."),
}
OPTIONAL = {"mutating-admission.yaml", "monitoring.yaml"}
# Not for kustomize, which would put the Role into the namespace of the server.
APART = {"provisioning.yaml"}

# Other ways to install that must render: values, and kinds that must be among the result.
VARIANTS = {
    "embedded store": ({"replicas": 1, "database": {"existingSecret": ""}}, {"PersistentVolumeClaim", "Deployment"}),
    "TLS": ({"tls": {"existingSecret": "poolkeeper-tls"}, "monitoring": {"serviceMonitor": True}}, {"ServiceMonitor"}),
    "nothing optional": (
        {
            "rbac": {"doctor": False},
            "admission": {"validating": False, "mutating": "never"},
            "podDisruptionBudget": {"enabled": False},
            "networkPolicy": {"enabled": False},
        },
        {"Deployment"},
    ),
    "everything": (
        {
            "operator": {"existingSecret": "poolkeeper-operator"},
            "image": {"pullSecrets": ["registry"]},
            "env": [{"name": "POOLKEEPER_LOG_LEVEL", "value": "debug"}],
            "nodeSelector": {"node-role.kubernetes.io/infra": ""},
            "tolerations": [{"key": "infra", "operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}},
            "priorityClassName": "system-cluster-critical",
            "networkPolicy": {"from": [{"namespaceSelector": {}}], "webhookPorts": [8443]},
            "rbac": {"deviceInfo": "kube-system", "argo": "argocd"},
            "admission": {"mutating": "always", "refuseBlanketTolerations": True},
            "provisioning": {"clusterApi": True, "namespace": "clusters", "bootstrapResources": ["kubeadmconfigs", "kubeadmconfigtemplates"]},
        },
        {"MutatingAdmissionPolicy"},
    ),
}
REFUSED = {
    "several replicas with the embedded store": {"replicas": 2, "database": {"existingSecret": ""}},
    "no sealing key": {"sealingKey": {"existingSecret": ""}},
}


def render(values):
    """Manifests by the name of their template."""
    with helm_python.Chart.load(CHART) as chart:
        rendered = chart.render(values, name="poolkeeper", namespace=NAMESPACE)
    return {pathlib.Path(path).stem: text for path, text in rendered.items() if path.endswith(".yaml")}


def objects(rendered):
    return [item for text in rendered.values() for item in yaml.safe_load_all(text) if item]


def files():
    """Texts of the plain manifests by file name."""
    rendered = render(VALUES)
    texts = {}
    for name, (templates, about) in FILES.items():
        parts = [rendered[template].strip().removeprefix("---").strip() for template in templates]
        texts[name] = f"# {about}\n# Made of the chart by `cargo xtask manifests`: change it there.\n" + "\n---\n".join(parts) + "\n"
    resources = "".join(f"  - {name}\n" for name in FILES if name not in OPTIONAL | APART)
    optional = "".join(f"  # - {name}\n" for name in FILES if name in OPTIONAL)
    texts["kustomization.yaml"] = (
        "# kubectl apply -k deploy/kubernetes\n# Made of the chart by `cargo xtask manifests`: change it there.\n"
        f"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: {NAMESPACE}\nresources:\n{resources}{optional}"
    )
    return texts


def examine():
    """The chart is without faults for Helm, and renders in all the ways that it promises."""
    for values in [None, VALUES, *(values for values, _ in VARIANTS.values())]:
        found = helm_python.lint(CHART, values, strict=False, namespace=NAMESPACE)
        if found["errors"]:
            sys.exit(f"the chart has errors: {found['errors']}")
    for name, (values, kinds) in VARIANTS.items():
        missing = kinds - {item["kind"] for item in objects(render(values))}
        if missing:
            sys.exit(f"variant {name!r} of the chart lacks {missing}")
    for name, values in REFUSED.items():
        try:
            render(values)
        except helm_python.HelmError:
            continue
        sys.exit(f"the chart accepts {name}")


def explained():
    """Every alert and every metric in one is explained in the documentation."""
    told = (HERE.parent / "docs" / "operations.md").read_text()
    groups = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        for name in [rule["alert"], *re.findall(r"poolkeeper_[a-z_]+", rule["expr"])]:
            if f"`{name}`" not in told:
                sys.exit(f"docs/operations.md does not explain {name}")


def main():
    examine()
    explained()
    check = "--check" in sys.argv[1:]
    wanted = files()
    stale = [name for name, text in wanted.items() if not (TARGET / name).exists() or (TARGET / name).read_text() != text]
    stray = [path.name for path in TARGET.glob("*") if path.name not in wanted]
    if check:
        if stale or stray:
            sys.exit(f"deploy/kubernetes is out of date ({', '.join(stale + stray)}): run cargo xtask manifests")
        print(f"manifests: {len(wanted)} files are up to date, rendered by Helm {helm_python.helm_sdk_version()}")
        return
    TARGET.mkdir(exist_ok=True)
    for name in stray:
        (TARGET / name).unlink()
    for name, text in wanted.items():
        (TARGET / name).write_text(text)


main()
