"""What the fabric wants of a VM, and the documents in which the wire server says so.

The shapes are those that WALinuxAgent 2.7.3.0 asks for and parses (azurelinuxagent/common/protocol/goal_state.py and
extensions_goal_state_from_extensions_config.py), and no more than that. `documents()` is the one place where a path of
the wire server gets its content. What an extension is downloaded from lies in the storage (fabric.py), not here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Optional
from xml.sax.saxutils import escape, quoteattr

WIRESERVER = "168.63.129.16"
STORAGE = "md-lab.blob.storage.azure.lab"
STATUS_BLOB = "/status/vm.status"
_SAS = "?sv=2018-03-28&sr=b&sp=rw&sig=bGFi"


@dataclass(frozen=True)
class Sealed:
    """Protected settings, encrypted for the certificate with this thumbprint (Fabric.seal)."""

    thumbprint: str
    text: str


@dataclass(frozen=True)
class Extension:
    """One extension that a VM shall have, with the settings of one request."""

    name: str  # Publisher.Type
    version: str
    sequence: int = 0
    public: dict[str, Any] = field(default_factory=dict)
    protected: Optional[Sealed] = None
    state: str = "enabled"  # or disabled, uninstall

    @property
    def manifest(self) -> str:
        """The path, in the storage, of the list of its versions."""
        return f"/lab/{self.name}_manifest.xml"

    def plugin(self) -> str:
        location = f"https://{STORAGE}{self.manifest}"
        return (f"<Plugin name={quoteattr(self.name)} version={quoteattr(self.version)} location={quoteattr(location)}"
                f" state={quoteattr(self.state)} autoUpgrade=\"false\" failoverlocation={quoteattr(location)}"
                " runAsStartupTask=\"false\" isJson=\"true\" useExactVersion=\"true\"/>")

    def plugin_settings(self) -> str:
        handler: dict[str, Any] = {"publicSettings": self.public}
        if self.protected:
            handler["protectedSettings"] = self.protected.text
            handler["protectedSettingsCertThumbprint"] = self.protected.thumbprint
        settings = json.dumps({"runtimeSettings": [{"handlerSettings": handler}]})
        return (f"<Plugin name={quoteattr(self.name)} version={quoteattr(self.version)}>"
                f"<RuntimeSettings seqNo=\"{self.sequence}\">{escape(settings)}</RuntimeSettings></Plugin>")


def package_path(name: str, version: str) -> str:
    """Where in the storage the package of a version lies."""
    return f"/lab/{name}__{version}.zip"


def manifest(name: str, versions: Iterable[str]) -> str:
    """The document that tells the agent from where to download which version of an extension."""
    plugins = "".join(f"<Plugin><Version>{version}</Version><Uris><Uri>https://{STORAGE}{package_path(name, version)}"
                      "</Uri></Uris></Plugin>" for version in versions)
    return ('<?xml version="1.0" encoding="utf-8"?>\n'
            f"<PluginVersionManifest><Plugins>{plugins}</Plugins><InternalPlugins/></PluginVersionManifest>\n")


@dataclass(frozen=True)
class ExtensionsConfig:
    """The extensions a VM shall have."""

    # The agent sends its status through the host plugin and names this blob in it; it need not exist.
    status_upload_blob: str = f"https://lab.invalid{STATUS_BLOB}{_SAS}"
    plugins: tuple[Extension, ...] = ()

    def reachable(self) -> ExtensionsConfig:
        """The same with a blob that exists: without a host plugin, the agent sends its status there itself."""
        return ExtensionsConfig(f"https://{STORAGE}{STATUS_BLOB}{_SAS}", self.plugins)


@dataclass(frozen=True)
class GoalState:
    """One goal state. Who publishes a changed one raises `incarnation`: the agent looks at nothing else."""

    incarnation: int = 1
    container_id: str = "c6d5526c-5ac2-4200-b6e2-56f2b70c5ab2"
    role_instance: str = "b61f93d0-e1ed-40b2-b067-22c243233448._vm"
    deployment: str = "b61f93d0-e1ed-40b2-b067-22c243233448"
    extensions: ExtensionsConfig = field(default_factory=ExtensionsConfig)
    certificates: bool = False  # whether it names some; the wire server encrypts them for who asks

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> GoalState:
        """From what dataclasses.asdict made of it."""
        config = stored["extensions"]
        plugins = tuple(Extension(**{**one, "protected": one["protected"] and Sealed(**one["protected"])})
                        for one in config["plugins"])
        return cls(**{**stored, "extensions": ExtensionsConfig(config["status_upload_blob"], plugins)})

    def documents(self) -> dict[str, str]:
        """Path and query, as in the request line, to the document that is the answer."""
        paths = {kind: f"/machine/{self.container_id}/{self.role_instance}?comp=config&type={kind}"
                       f"&incarnation={self.incarnation}"
                 for kind in ("hostingEnvironmentConfig", "sharedConfig", "extensionsConfig")}
        if self.certificates:
            paths["certificates"] = f"/machine/{self.container_id}/{self.role_instance}?comp=certificates" \
                                    f"&incarnation={self.incarnation}"
        return {
            "/machine/?comp=goalstate": self._goal_state(paths),
            paths["hostingEnvironmentConfig"]: self._hosting_environment(),
            paths["sharedConfig"]: self._shared_config(),
            paths["extensionsConfig"]: self._extensions_config(),
        }

    def _goal_state(self, paths: dict[str, str]) -> str:
        uris = {kind: escape(f"http://{WIRESERVER}:80{path}") for kind, path in paths.items()}
        certificates = f"\n          <Certificates>{uris['certificates']}</Certificates>" if self.certificates else ""
        return f"""\
<?xml version="1.0" encoding="utf-8"?>
<GoalState xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="goalstate10.xsd">
  <Version>2012-11-30</Version>
  <Incarnation>{self.incarnation}</Incarnation>
  <Machine>
    <ExpectedState>Started</ExpectedState>
    <StopRolesDeadlineHint>300000</StopRolesDeadlineHint>
    <LBProbePorts><Port>16001</Port></LBProbePorts>
  </Machine>
  <Container>
    <ContainerId>{self.container_id}</ContainerId>
    <RoleInstanceList>
      <RoleInstance>
        <InstanceId>{self.role_instance}</InstanceId>
        <State>Started</State>
        <Configuration>
          <HostingEnvironmentConfig>{uris["hostingEnvironmentConfig"]}</HostingEnvironmentConfig>
          <SharedConfig>{uris["sharedConfig"]}</SharedConfig>
          <ExtensionsConfig>{uris["extensionsConfig"]}</ExtensionsConfig>{certificates}
          <ConfigName>{self.deployment}.1.{self.deployment}.0._vm.1.xml</ConfigName>
        </Configuration>
      </RoleInstance>
    </RoleInstanceList>
  </Container>
</GoalState>
"""

    def _hosting_environment(self) -> str:
        return f"""\
<?xml version="1.0" encoding="utf-8"?>
<HostingEnvironmentConfig version="1.0.0.0" goalStateIncarnation="{self.incarnation}">
  <StoredCertificates/>
  <Deployment name="{self.deployment}" guid="{{{self.deployment}}}" incarnation="1">
    <Service name="lab" guid="{{00000000-0000-0000-0000-000000000000}}"/>
    <ServiceInstance name="{self.deployment}.1" guid="{{{self.deployment}}}"/>
  </Deployment>
  <Incarnation number="1" instance="vm" guid="{{{self.deployment}}}"/>
  <Role guid="{{{self.deployment}}}" name="vm" settleTimeSeconds="0"/>
</HostingEnvironmentConfig>
"""

    def _shared_config(self) -> str:
        return f"""\
<?xml version="1.0" encoding="utf-8"?>
<SharedConfig version="1.0.0.0" goalStateIncarnation="{self.incarnation}">
  <Deployment name="{self.deployment}" guid="{{{self.deployment}}}" incarnation="1"/>
  <Incarnation number="1" instance="vm" guid="{{{self.deployment}}}"/>
  <Role guid="{{{self.deployment}}}" name="vm" settleTimeSeconds="0"/>
</SharedConfig>
"""

    def _extensions_config(self) -> str:
        blob = escape(self.extensions.status_upload_blob)
        plugins = "".join(f"\n    {one.plugin()}" for one in self.extensions.plugins)
        settings = "".join(f"\n    {one.plugin_settings()}" for one in self.extensions.plugins)
        return f"""\
<?xml version="1.0" encoding="utf-8"?>
<Extensions version="1.0.0.0" goalStateIncarnation="{self.incarnation}">
  <GuestAgentExtension xmlns:i="http://www.w3.org/2001/XMLSchema-instance">
    <GAFamilies/>
  </GuestAgentExtension>
  <Plugins>{plugins}
  </Plugins>
  <PluginSettings>{settings}
  </PluginSettings>
  <StatusUploadBlob statusBlobType="BlockBlob">{blob}</StatusUploadBlob>
</Extensions>
"""
