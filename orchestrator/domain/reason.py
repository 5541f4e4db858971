"""Why something is as it is, in the reader's language. Services and the sidecar give reasons as English sentences, which the
API passes on; the bot and the dashboard say them by this. One that isn't known here is shown as it came.
"""

import re
from collections.abc import Iterator, Mapping
from string import Formatter

from orchestrator.domain.crash_suspects import ISOLATED
from orchestrator.domain.errors import AuthStateCorrupt, EncryptionKeyMissing
from orchestrator.domain.language import Language
from orchestrator.domain.pairing_failure import EXPLANATIONS
from orchestrator.domain.subscription import PAUSED_REASON

#: Each part that is filled in is looked up as well.
PORTUGUESE: Mapping[str, str] = {
    # -- a connection ended: disconnect-policy.js
    "{what}; reconnecting in {seconds} s.": "{what}; reconecta em {seconds} s.",
    "{what}; starting again.": "{what}; começando de novo.",
    "no code": "sem código",
    "The connection to WhatsApp was lost": "A conexão com o WhatsApp caiu",
    "WhatsApp ended the connection ({code})": "O WhatsApp encerrou a conexão ({code})",
    "WhatsApp ended the pairing attempt ({code})": "O WhatsApp encerrou a tentativa de conectar o celular ({code})",
    "WhatsApp asked for a restart of the connection.": "O WhatsApp pediu que a conexão fosse reiniciada.",
    "WhatsApp refused the login ({code})": "O WhatsApp recusou a entrada ({code})",
    "WhatsApp refused the login ({code}) right after a restart": "O WhatsApp recusou a entrada ({code}) logo depois de um reinício",
    "WhatsApp refused the login again ({code}): the device is unlinked.": "O WhatsApp recusou a entrada de novo ({code}): o aparelho foi desconectado.",
    "WhatsApp blocked the account for a time that it did not tell.": "O WhatsApp bloqueou a conta por um tempo que não informou.",
    "WhatsApp blocked the account until {moment}.": "O WhatsApp bloqueou a conta até {moment}.",
    "WhatsApp calls this client outdated; connecting as its newest version.": "O WhatsApp considera este programa desatualizado; conectando como a versão mais nova.",
    "WhatsApp calls this client outdated; trying again in {seconds} s.": "O WhatsApp considera este programa desatualizado; tenta de novo em {seconds} s.",
    "The device was unlinked on request.": "O aparelho foi desconectado a pedido.",
    "The device was removed on the phone.": "O aparelho foi removido no celular.",
    "Multi-device is off for this account; switch it on on the phone.": "Os aparelhos conectados estão desligados nesta conta; ligue-os no celular.",
    "Another replica runs this session now.": "Outra réplica roda esta sessão agora.",
    "Another connection replaced this one; trying once more.": "Outra conexão tomou o lugar desta; tentando mais uma vez.",
    "Another program uses this linked device; it replaced the connection twice.": "Outro programa usa este aparelho conectado; ele tomou o lugar da conexão duas vezes.",
    # -- a phone could not be linked
    "WhatsApp took the QR code back while it was being scanned": "O WhatsApp trocou o QR code enquanto ele era escaneado",
    "This phone answers pairing codes in a way that is not supported; the QR code works": "Este celular responde aos códigos de um jeito que não é suportado; o QR code funciona",
    "WhatsApp refused the pairing code": "O WhatsApp recusou o código",
    "WhatsApp was asked for too many pairing codes; the QR code works": "Foram pedidos códigos demais ao WhatsApp; o QR code funciona",
    "WhatsApp took the QR code back again and again.": "O WhatsApp trocou o QR code várias vezes.",
    "This phone answers pairing codes in a way that is not supported; use the QR code.": "Este celular responde aos códigos de um jeito que não é suportado; use o QR code.",
    "WhatsApp refused the pairing code again and again.": "O WhatsApp recusou o código várias vezes.",
    "WhatsApp was asked for too many pairing codes; use the QR code, or wait some hours.": "Foram pedidos códigos demais ao WhatsApp; use o QR code ou espere algumas horas.",
    "The account has as many linked devices as WhatsApp allows.": "A conta já tem o máximo de aparelhos conectados que o WhatsApp permite.",
    "WhatsApp calls this client outdated, and no newer version is known.": "O WhatsApp considera este programa desatualizado, e não há versão mais nova conhecida.",
    "WhatsApp has blocked the account.": "O WhatsApp bloqueou a conta.",
    "WhatsApp asks for a passkey when this account is linked, which only its own app can show.": "O WhatsApp pede uma chave de acesso (passkey) para conectar esta conta, que só o aplicativo dele pode mostrar.",
    "The linked account could not be stored, so WhatsApp was not told; the phone says that it failed.": "A conta conectada não pôde ser guardada e por isso não foi confirmada ao WhatsApp; o celular mostra um erro.",
    # -- the session's proxy
    "The proxy can't be reached ({why})": "O proxy não pôde ser alcançado ({why})",
    "The proxy is at a private, local or reserved address, which is not allowed here": "O proxy está em um endereço privado, local ou reservado, o que não é permitido aqui",
    "The proxy refuses the credentials": "O proxy recusa o usuário e a senha",
    "The proxy doesn't connect to WhatsApp ({why})": "O proxy não conecta ao WhatsApp ({why})",
    "it took too long": "demorou demais",
    "the connection ended": "a conexão terminou",
    "it ended the connection": "ele encerrou a conexão",
    "it failed": "ele falhou",
    "its rules forbid it": "as regras dele proíbem",
    "the network is out of reach": "a rede está fora de alcance",
    "the host is out of reach": "o servidor está fora de alcance",
    "the host refused the connection": "o servidor recusou a conexão",
    "its time ran out": "o tempo dele acabou",
    "it speaks no HTTP": "ele não fala HTTP",
    "it speaks no SOCKS5": "ele não fala SOCKS5",
    "its answer has no end": "a resposta dele não tem fim",
    # -- a connection begins, goes on elsewhere, is held back
    "Linked; WhatsApp asks for a restart of the connection.": "Conectado; o WhatsApp pede que a conexão seja reiniciada.",
    "The settings changed; the connection is opened anew.": "As configurações mudaram; a conexão é aberta de novo.",
    "An unexpected error ended the connection.": "Um erro inesperado encerrou a conexão.",
    "A newer epoch replaces this connection.": "Uma conexão mais nova toma o lugar desta.",
    "The service stops or moves.": "O serviço para ou muda de lugar.",
    "The session moves to another replica.": "A sessão muda para outra réplica.",
    "The lease is held by another owner.": "Outra réplica ficou com esta sessão.",
    "The WhatsApp process does not answer; the connection is opened anew if it ended.": "O processo do WhatsApp não responde; a conexão é aberta de novo se terminou.",
    "The WhatsApp process failed, and it is being found out which session does that; this one follows soon.": "O processo do WhatsApp falhou, e está sendo descoberto qual sessão causa isso; esta segue em breve.",
    ISOLATED: "Esta sessão derrubou o processo do WhatsApp várias vezes e por isso está retida. Inicie-a para tentar de novo.",
    PAUSED_REASON: "A assinatura terminou. A sessão continua conectada ao celular; um pagamento a traz de volta sem QR code.",
    # -- by request
    "Stopped on request.": "Parada a pedido.",
    "Stopped by request.": "Parada a pedido.",
    "Logged out by request.": "Saiu do WhatsApp a pedido.",
    "The session was deleted.": "A sessão foi excluída.",
    "Switched off by request.": "Desligado a pedido.",
    # -- what is stored
    "The stored auth state could not be loaded: {why} Nothing is paired meanwhile.": "O estado guardado não pôde ser carregado: {why} Nenhum celular é conectado enquanto isso.",
    "The orchestrator answered {answer}.": "O serviço respondeu {answer}.",
    "The orchestrator is out of reach: {why}": "O serviço está fora de alcance: {why}",
    "The stored creds are those of another account than the recorded one.": "As credenciais guardadas são de outra conta que não a registrada.",
    "The two halves of the stored {name} do not belong together.": "As duas metades da chave guardada {name} não combinam.",
    "The stored creds are not readable.": "As credenciais guardadas não podem ser lidas.",
    "The stored creds are not those of a paired account.": "As credenciais guardadas não são de uma conta conectada.",
    "The stored auth state cannot be opened.": "O estado guardado não pode ser aberto.",
    AuthStateCorrupt.default_message(): "O estado guardado existe e não pode ser aberto; confira SESSION_ENCRYPTION_KEYS e o banco de dados.",
    EncryptionKeyMissing.default_message(): "Um valor guardado está selado com uma chave que não está em SESSION_ENCRYPTION_KEYS; acrescente essa chave e inicie de novo.",
    "A stored value was changed or moved since it was written; restore the database from a backup.": "Um valor guardado foi alterado ou movido depois de escrito; restaure o banco de dados de um backup.",
    "A stored value can't be decompressed; restore the database from a backup.": "Um valor guardado não pode ser descomprimido; restaure o banco de dados de um backup.",
    "The generation was paired and its creds are missing; restore the database from a backup.": "O pareamento existia e as credenciais dele faltam; restaure o banco de dados de um backup.",
    "The settings of a session can't be read.": "As configurações de uma sessão não podem ser lidas.",
    "Its settings can't be opened: {why}": "As configurações dela não podem ser abertas: {why}",
    # -- a pairing was set aside, or is back
    "WhatsApp logged the device out.": "O WhatsApp desconectou o aparelho.",
    "A new pairing was begun in its place.": "Um novo pareamento foi iniciado no lugar dele.",
    "Generation {number} was restored in its place.": "O pareamento {number} foi restaurado no lugar dele.",
    "A pairing from outside took its place.": "Um pareamento trazido de fora tomou o lugar dele.",
    "It was set aside more than {days} days ago.": "Foi posto de lado há mais de {days} dias.",
    "Its state is tried again.": "O estado dele é tentado de novo.",
    # -- a webhook was switched off
    "The address answered 410 Gone.": "O endereço respondeu 410 Gone (não existe mais).",
    "Nothing could be delivered for {days} days.": "Nada pôde ser entregue durante {days} dias.",
}


def reason_in(language: Language, sentence: str) -> str:
    """The sentence in this language."""
    return sentence if language is Language.EN else _translated(sentence)


def _translated(sentence: str) -> str:
    known = _WHOLE.get(sentence)
    if known is not None:
        return known
    for pattern, text in _WITH_PARTS:
        if found := pattern.fullmatch(sentence):
            return text.format_map({name: _translated(part) for name, part in found.groupdict().items()})
    return sentence


def _pairing_failures() -> Iterator[tuple[str, str]]:
    for failure, english in EXPLANATIONS[Language.EN].items():
        portuguese = EXPLANATIONS[Language.PT_BR][failure]
        yield english.happened, portuguese.happened
        yield str(english), str(portuguese)


def _pattern(sentence: str) -> re.Pattern[str]:
    parts = Formatter().parse(sentence)
    return re.compile("".join(re.escape(text) + (f"(?P<{name}>.+)" if name else "") for text, name, _, _ in parts))


_WHOLE = dict(_pairing_failures()) | {english: text for english, text in PORTUGUESE.items() if "{" not in english}
_WITH_PARTS = [(_pattern(english), text) for english, text in PORTUGUESE.items() if "{" in english]
