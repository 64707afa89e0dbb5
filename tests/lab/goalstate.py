"""What the fabric wants of a VM, and the documents in which the wire server says so.

The shapes are those that WALinuxAgent 2.7.3.0 asks for and parses (azurelinuxagent/common/protocol/goal_state.py and
extensions_goal_state_from_extensions_config.py), and no more than that. `documents()` is the one place where a path of
the wire server gets its content: an extension in the goal state is a field of ExtensionsConfig and its lines in
`_extensions_config`, and what the extension is downloaded from is further paths.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.sax.saxutils import escape

WIRESERVER = "168.63.129.16"


@dataclass(frozen=True)
class ExtensionsConfig:
    """The extensions a VM shall have. None yet: <Plugins> and <PluginSettings> belong here."""

    # The agent sends its status through the host plugin and names this blob in it; it need not exist.
    status_upload_blob: str = "https://lab.invalid/status/vm.status?sv=2018-03-28&sr=b&sp=rw&sig=bGFi"


@dataclass(frozen=True)
class GoalState:
    """One goal state. Who publishes a changed one raises `incarnation`: the agent looks at nothing else."""

    incarnation: int = 1
    container_id: str = "c6d5526c-5ac2-4200-b6e2-56f2b70c5ab2"
    role_instance: str = "b61f93d0-e1ed-40b2-b067-22c243233448._vm"
    deployment: str = "b61f93d0-e1ed-40b2-b067-22c243233448"
    extensions: ExtensionsConfig = field(default_factory=ExtensionsConfig)

    def documents(self) -> dict[str, str]:
        """Path and query, as in the request line, to the document that is the answer."""
        paths = {kind: f"/machine/{self.container_id}/{self.role_instance}?comp=config&type={kind}"
                       f"&incarnation={self.incarnation}"
                 for kind in ("hostingEnvironmentConfig", "sharedConfig", "extensionsConfig")}
        return {
            "/machine/?comp=goalstate": self._goal_state(paths),
            paths["hostingEnvironmentConfig"]: self._hosting_environment(),
            paths["sharedConfig"]: self._shared_config(),
            paths["extensionsConfig"]: self._extensions_config(),
        }

    def _goal_state(self, paths: dict[str, str]) -> str:
        uris = {kind: escape(f"http://{WIRESERVER}:80{path}") for kind, path in paths.items()}
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
          <ExtensionsConfig>{uris["extensionsConfig"]}</ExtensionsConfig>
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
        return f"""\
<?xml version="1.0" encoding="utf-8"?>
<Extensions version="1.0.0.0" goalStateIncarnation="{self.incarnation}">
  <GuestAgentExtension xmlns:i="http://www.w3.org/2001/XMLSchema-instance">
    <GAFamilies/>
  </GuestAgentExtension>
  <Plugins/>
  <PluginSettings/>
  <StatusUploadBlob statusBlobType="BlockBlob">{blob}</StatusUploadBlob>
</Extensions>
"""
