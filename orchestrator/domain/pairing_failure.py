"""Why a phone could not be linked: the stable codes, and for people a sentence of what happened and one of what to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.domain.language import Language


class PairingFailure(StrEnum):
    TIMED_OUT = "timed_out"
    CONNECTION_LOST = "connection_lost"
    REFUSED_BY_PHONE = "refused_by_phone"
    SECRET_ROTATED = "secret_rotated"  # noqa: S105
    CODE_NOT_SUPPORTED = "code_not_supported"
    CODE_REFUSED = "code_refused"
    CODE_RATE_LIMITED = "code_rate_limited"
    TOO_MANY_DEVICES = "too_many_devices"
    CLIENT_OUTDATED = "client_outdated"
    BANNED = "banned"
    MULTI_DEVICE_OFF = "multi_device_off"
    PASSKEY_REQUIRED = "passkey_required"
    NOT_STORED = "not_stored"
    UNCONFIRMED = "unconfirmed"


@dataclass(frozen=True, slots=True)
class Explanation:
    happened: str
    advice: str

    def __str__(self) -> str:
        return f"{self.happened} {self.advice}"


_EN: Mapping[PairingFailure, Explanation] = {
    PairingFailure.TIMED_OUT: Explanation(
        "No phone was linked in time.",
        "Start again and scan the QR code while it is shown. If the phone refused it, look there for the reason: with four"
        " linked devices, for instance, one must be removed first.",
    ),
    PairingFailure.CONNECTION_LOST: Explanation(
        "The connection to WhatsApp could not be kept long enough to link a phone.",
        "Wait a few minutes and start again.",
    ),
    PairingFailure.REFUSED_BY_PHONE: Explanation(
        "The phone, or WhatsApp, refused the link.",
        "Look at the phone for the reason, update WhatsApp there, and start again; if a code was used, try the QR code.",
    ),
    PairingFailure.SECRET_ROTATED: Explanation(
        "WhatsApp took the QR code back while it was being scanned.",
        "A new code is shown by itself; scan that one. If this goes on, wait a few minutes and start again.",
    ),
    PairingFailure.CODE_NOT_SUPPORTED: Explanation(
        "This phone answers pairing codes in a way that is not supported here.", "Scan the QR code instead."
    ),
    PairingFailure.CODE_REFUSED: Explanation(
        "WhatsApp refused the pairing code.", "Check the phone number, or scan the QR code instead."
    ),
    PairingFailure.CODE_RATE_LIMITED: Explanation(
        "WhatsApp was asked for too many pairing codes for this number.",
        "Scan the QR code instead, or wait some hours.",
    ),
    PairingFailure.TOO_MANY_DEVICES: Explanation(
        "This account has as many linked devices as WhatsApp allows.",
        "On the phone, open Linked devices, remove one that is not needed, and start again.",
    ),
    PairingFailure.CLIENT_OUTDATED: Explanation(
        "WhatsApp calls this service outdated and no newer version is known.",
        "Whoever runs the service must update it; sessions that are linked already are not touched.",
    ),
    PairingFailure.BANNED: Explanation(
        "WhatsApp has blocked this account.",
        "Open WhatsApp on the phone: it says for how long, and how to ask for a review.",
    ),
    PairingFailure.MULTI_DEVICE_OFF: Explanation(
        "Linked devices are off for this account.",
        "Update WhatsApp on the phone, switch linked devices on, and start again.",
    ),
    PairingFailure.PASSKEY_REQUIRED: Explanation(
        "WhatsApp asks for a passkey when this account is linked. Only WhatsApp's own pages can show that step, so no service"
        " like this one can link the account today.",
        "Accounts that are linked already are not affected, as long as their session is kept. Use another account here, or try"
        " again when WhatsApp no longer asks.",
    ),
    PairingFailure.NOT_STORED: Explanation(
        "The link could not be stored safely, so it was not confirmed to the phone, which shows an error.",
        "Start again in a few minutes; whoever runs the service should look at its database.",
    ),
    PairingFailure.UNCONFIRMED: Explanation(
        "The link was interrupted before WhatsApp confirmed it.",
        "Start again. If the phone lists a device that does not work, remove it there.",
    ),
}

_PT_BR: Mapping[PairingFailure, Explanation] = {
    PairingFailure.TIMED_OUT: Explanation(
        "Nenhum celular foi conectado a tempo.",
        "Comece de novo e escaneie o QR code enquanto ele estiver na tela. Se o celular recusou, veja nele o motivo: com quatro"
        " aparelhos conectados, por exemplo, é preciso remover um antes.",
    ),
    PairingFailure.CONNECTION_LOST: Explanation(
        "A conexão com o WhatsApp não durou o bastante para conectar um celular.",
        "Espere alguns minutos e comece de novo.",
    ),
    PairingFailure.REFUSED_BY_PHONE: Explanation(
        "O celular, ou o WhatsApp, recusou a conexão.",
        "Veja o motivo no celular, atualize o WhatsApp nele e comece de novo; se usou um código, tente o QR code.",
    ),
    PairingFailure.SECRET_ROTATED: Explanation(
        "O WhatsApp trocou o QR code enquanto ele era escaneado.",
        "Um novo código aparece sozinho; escaneie esse. Se continuar acontecendo, espere alguns minutos e comece de novo.",
    ),
    PairingFailure.CODE_NOT_SUPPORTED: Explanation(
        "Este celular responde aos códigos de um jeito que não é suportado aqui.", "Escaneie o QR code."
    ),
    PairingFailure.CODE_REFUSED: Explanation(
        "O WhatsApp recusou o código.", "Confira o número do telefone ou escaneie o QR code."
    ),
    PairingFailure.CODE_RATE_LIMITED: Explanation(
        "Foram pedidos códigos demais ao WhatsApp para este número.", "Escaneie o QR code ou espere algumas horas."
    ),
    PairingFailure.TOO_MANY_DEVICES: Explanation(
        "Esta conta já tem o máximo de aparelhos conectados que o WhatsApp permite.",
        "No celular, abra Aparelhos conectados, remova um que não é usado e comece de novo.",
    ),
    PairingFailure.CLIENT_OUTDATED: Explanation(
        "O WhatsApp considera este serviço desatualizado e não há versão mais nova conhecida.",
        "Quem opera o serviço precisa atualizá-lo; as sessões já conectadas não são afetadas.",
    ),
    PairingFailure.BANNED: Explanation(
        "O WhatsApp bloqueou esta conta.",
        "Abra o WhatsApp no celular: ele mostra por quanto tempo e como pedir uma análise.",
    ),
    PairingFailure.MULTI_DEVICE_OFF: Explanation(
        "Os aparelhos conectados estão desligados nesta conta.",
        "Atualize o WhatsApp no celular, ative os aparelhos conectados e comece de novo.",
    ),
    PairingFailure.PASSKEY_REQUIRED: Explanation(
        "O WhatsApp pede uma chave de acesso (passkey) para conectar esta conta. Só as páginas do próprio WhatsApp podem mostrar"
        " essa etapa; por isso nenhum serviço como este consegue conectar a conta hoje.",
        "Contas que já estão conectadas não são afetadas enquanto a sessão for mantida. Use outra conta aqui ou tente de novo"
        " quando o WhatsApp deixar de pedir.",
    ),
    PairingFailure.NOT_STORED: Explanation(
        "A conexão não pôde ser guardada com segurança e por isso não foi confirmada ao celular, que mostra um erro.",
        "Comece de novo em alguns minutos; quem opera o serviço deve verificar o banco de dados.",
    ),
    PairingFailure.UNCONFIRMED: Explanation(
        "A conexão foi interrompida antes que o WhatsApp a confirmasse.",
        "Comece de novo. Se o celular mostrar um aparelho que não funciona, remova-o nele.",
    ),
}

EXPLANATIONS: Mapping[Language, Mapping[PairingFailure, Explanation]] = {Language.EN: _EN, Language.PT_BR: _PT_BR}


def pairing_failure(code: str) -> PairingFailure | None:
    """The failure of this code; None for one that a later sidecar knows."""
    try:
        return PairingFailure(code)
    except ValueError:
        return None
