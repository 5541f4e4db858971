"""What the pages say, in each language. A field that a language lacks doesn't type-check."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.domain.language import Language


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingTexts:
    title: str
    asks: str
    """With {who} for who asks for the link."""
    allows: str
    keeps: str
    begin: str
    begin_hint: str
    other_language: str
    waiting: str
    scan_title: str
    scan_rotated: str
    linking: str
    linked: str
    linked_hint: str
    failed: str
    stopped: str
    stopped_hint: str
    again: str
    offline: str
    expires_in: str
    """With {seconds}; the script fills it in."""
    new_code_soon: str
    steps_title: str
    steps_qr: tuple[str, str, str]
    steps_code: tuple[str, str, str]
    use_code: str
    use_code_hint: str
    phone_label: str
    phone_placeholder: str
    phone_format: str
    get_code: str
    code_title: str
    code_hint: str
    link_until: str
    """With {time}."""
    no_script: str
    gone_title: str
    gone: str
    too_many_title: str
    too_many: str
    unavailable_title: str
    unavailable: str


_EN = PairingTexts(
    title="Link WhatsApp",
    asks="{who} asks you to link your WhatsApp",
    allows="The service will be able to read and send messages of this account, as WhatsApp Web does.",
    keeps="You can end it at any time on your phone, under Linked devices. This page gives nobody any other access.",
    begin="Begin",
    begin_hint="From then on this page works in this browser only.",
    other_language="Português",
    waiting="Asking WhatsApp for a code …",
    scan_title="Scan this code with your phone",
    scan_rotated="WhatsApp changed the code just now. Scan this one.",
    linking="Your phone is linked; the connection is being made …",
    linked="Done: your WhatsApp is linked.",
    linked_hint="You can close this page. Keep the device in your list of linked devices.",
    failed="That did not work",
    stopped="The linking is not running.",
    stopped_hint="Start it again when you have the phone at hand.",
    again="Start again",
    offline="The service does not answer. This page tries again by itself.",
    expires_in="{seconds} s",
    new_code_soon="A new code comes by itself when the time is up.",
    steps_title="How to do it",
    steps_qr=(
        "Open WhatsApp on your phone and tap Menu ⋮ or Settings.",
        "Tap Linked devices, then Link a device.",
        "Point the camera at the code on this page.",
    ),
    steps_code=(
        "Open WhatsApp on your phone and tap Menu ⋮ or Settings.",
        "Tap Linked devices, Link a device, then Link with phone number instead.",
        "Type the eight characters that this page shows.",
    ),
    use_code="This page is on the same phone?",
    use_code_hint="Then link with a code instead of the camera.",
    phone_label="Number of the phone, with country code",
    phone_placeholder="5511999990000",
    phone_format="Only digits, with the country code: 7 to 15 of them, such as 5511999990000.",
    get_code="Show a code",
    code_title="Type this code on your phone",
    code_hint="It stays the same while it is shown.",
    link_until="This page can be used until {time}.",
    no_script="Without JavaScript this page renews itself every few seconds.",
    gone_title="This page is not available",
    gone="The link is over, was used already, or was opened in another browser. Ask whoever sent it to you for a new one.",
    too_many_title="Too many attempts",
    too_many="Wait a minute and open the link that you were sent again.",
    unavailable_title="Back in a moment",
    unavailable="The service is starting or its database is out of reach. This page tries again by itself; nothing is lost.",
)

_PT_BR = PairingTexts(
    title="Conectar o WhatsApp",
    asks="{who} pede para conectar o seu WhatsApp",
    allows="O serviço poderá ler e enviar mensagens desta conta, como faz o WhatsApp Web.",
    keeps="Você pode encerrar quando quiser no celular, em Aparelhos conectados. Esta página não dá nenhum outro acesso a ninguém.",
    begin="Começar",
    begin_hint="A partir daí esta página só funciona neste navegador.",
    other_language="English",
    waiting="Pedindo um código ao WhatsApp …",
    scan_title="Escaneie este código com o celular",
    scan_rotated="O WhatsApp acabou de trocar o código. Escaneie este.",
    linking="O celular está conectado; a conexão está sendo feita …",
    linked="Pronto: o seu WhatsApp está conectado.",
    linked_hint="Pode fechar esta página. Mantenha o aparelho na lista de aparelhos conectados.",
    failed="Não deu certo",
    stopped="A conexão não está em andamento.",
    stopped_hint="Comece de novo quando estiver com o celular na mão.",
    again="Começar de novo",
    offline="O serviço não responde. Esta página tenta de novo sozinha.",
    expires_in="{seconds} s",
    new_code_soon="Um novo código aparece sozinho quando o tempo acaba.",
    steps_title="Como fazer",
    steps_qr=(
        "Abra o WhatsApp no celular e toque em Menu ⋮ ou Configurações.",
        "Toque em Aparelhos conectados e em Conectar um aparelho.",
        "Aponte a câmera para o código desta página.",
    ),
    steps_code=(
        "Abra o WhatsApp no celular e toque em Menu ⋮ ou Configurações.",
        "Toque em Aparelhos conectados, Conectar um aparelho e Conectar com número de telefone.",
        "Digite os oito caracteres que esta página mostra.",
    ),
    use_code="Esta página está no mesmo celular?",
    use_code_hint="Então conecte com um código em vez da câmera.",
    phone_label="Número do celular, com código do país",
    phone_placeholder="5511999990000",
    phone_format="Só dígitos, com o código do país: de 7 a 15, como 5511999990000.",
    get_code="Mostrar um código",
    code_title="Digite este código no celular",
    code_hint="Ele continua o mesmo enquanto está na tela.",
    link_until="Esta página pode ser usada até {time}.",
    no_script="Sem JavaScript esta página se renova a cada poucos segundos.",
    gone_title="Esta página não está disponível",
    gone="O link acabou, já foi usado ou foi aberto em outro navegador. Peça um novo a quem o enviou.",
    too_many_title="Tentativas demais",
    too_many="Espere um minuto e abra de novo o link que você recebeu.",
    unavailable_title="Volta em instantes",
    unavailable="O serviço está iniciando ou o banco de dados está fora de alcance. Esta página tenta de novo sozinha; nada se perde.",
)

PAIRING: Mapping[Language, PairingTexts] = {Language.EN: _EN, Language.PT_BR: _PT_BR}
