"""The models by name. They are strings, so that nothing is imported before a model is used."""

#: Every model by its name on the command line. A new model is one file and one line here.
MODELS: dict[str, str] = {
    "hlieconv": "hlieconv.models.hlieconv:HLieConv",
    "expansion": "hlieconv.models.expansion.model:PairExpansion",
    "fc": "hlieconv.models.fully_connected:FC",
    "hfc": "hlieconv.models.fully_connected:HFC",
    "hnn": "hlieconv.models.fully_connected:HNN",
    "generalised": "hlieconv.models.generalised:Generalised",
    "hogn": "hlieconv.models.graph_networks:HOGN",
    "lieconv": "hlieconv.models.lieconv_field:LieConvField",
    "ogn": "hlieconv.models.graph_networks:OGN",
    "port_hamiltonian": "hlieconv.models.port_hamiltonian:PortHamiltonian",
    "vogn": "hlieconv.models.graph_networks:VOGN",
}
