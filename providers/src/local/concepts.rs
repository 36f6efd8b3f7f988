//! What words of a reception mean: which are about the same thing, which mean another thing together, which mean nothing.
use super::Language;

/// A subject and the phrases that point at it; a phrase ending in `*` matches longer words.
pub(super) type Concept = (&'static str, &'static [&'static str]);

/// What callers of any reception ask for, in their words and in those of whoever wrote the answers.
pub(super) fn concepts(language: Language) -> &'static [Concept] {
    match language {
        Language::PtBr => PT,
        Language::EnUs => EN,
    }
}

/// Phrases whose words mean something else together, and what they mean.
pub(super) fn rewrites(language: Language) -> &'static [(&'static str, &'static str)] {
    match language {
        Language::PtBr => &[
            ("marcar um horario", "marcar uma consulta"),
            ("marcar horario", "marcar consulta"),
            ("agendar um horario", "agendar uma consulta"),
            ("agendar horario", "agendar consulta"),
            ("me conta", "diga"),
            ("onde parar", "estacionamento"),
            ("onde deixar o carro", "estacionamento"),
            ("onde estacionar", "estacionamento"),
        ],
        Language::EnUs => &[
            ("where can i park", "parking"),
            ("where do i park", "parking"),
            ("make an appointment", "book an appointment"),
            ("schedule an appointment", "book an appointment"),
        ],
    }
}

/// Whether a word says nothing about what is asked for.
pub(super) fn is_stop_word(word: &str, language: Language) -> bool {
    const PT: &str = " a o as os um uma uns umas de do da dos das e em no na nos nas por pra pro para com que qual quais \
        como quando onde quanto quanta quantos quantas eu voce voces ele ela eles elas meu minha seu sua me te se ai la \
        gostaria queria quero saber poderia pode posso podem favor por ser estar e eh tem ter ha isso esse essa este esta \
        aqui ate mais muito bem entao oi ola alo bom dia boa tarde noite fazer faz faco vou vai ao aos ou sobre aceita \
        aceitam aceitar aceitamos temos nao sim ja ainda fica ficam preciso precisa coisa hoje ";
    const EN: &str = " a an the of to in on at for with and or is are am be do does did can could would should will i you \
        he she it we they my your our me us what which how when where who why please hello hi hey good morning afternoon \
        evening want know like tell about have has there this that some any much many so just take \
        takes accept not yes no again need yet today did try ";
    let list = match language {
        Language::PtBr => PT,
        Language::EnUs => EN,
    };
    list.contains(&format!(" {word} "))
}

static PT: &[Concept] = &[
    (
        "hours",
        &[
            "horario*",
            "hora",
            "horas",
            "abre*",
            "abert*",
            "fech*",
            "funciona*",
            "expediente",
            "quando abre*",
            "atendem",
            "que dias",
        ],
    ),
    ("place", &["onde", "endereco*", "localiza*", "chegar", "rua", "bairro"]),
    (
        "price",
        &[
            "preco*",
            "valor",
            "valores",
            "quanto custa*",
            "quanto e",
            "quanto fica",
            "custa*",
            "custo*",
            "cobra*",
            "quanto sai",
            "tabela",
        ],
    ),
    (
        "payment",
        &["pagamento*", "pagar", "cartao", "cartoes", "pix", "dinheiro", "boleto", "parcel*", "credito", "debito"],
    ),
    ("booking", &["agend*", "marcar", "remarcar", "consulta*", "reserv*", "marcacao"]),
    ("cancel", &["cancel*", "desmarc*", "desist*"]),
    ("parking", &["estaciona*", "vaga*", "parar o carro", "deixar o carro", "carro"]),
    ("insurance", &["convenio*", "plano", "planos", "seguro*", "unimed", "amil"]),
    ("contact", &["telefone*", "contato*", "email", "whatsapp", "zap"]),
    ("delivery", &["entreg*", "frete", "prazo*"]),
    ("weekend", &["sabado*", "domingo*", "fim de semana", "final de semana", "feriado*"]),
];
static EN: &[Concept] = &[
    ("hours", &["hour*", "open*", "close*", "closing", "what time", "when are you", "schedule"]),
    ("place", &["where", "address*", "locat*", "directions", "find you", "get there", "street"]),
    ("price", &["price*", "cost*", "how much", "fee*", "charge*", "rate*", "expensive"]),
    ("payment", &["pay*", "card*", "cash", "credit", "debit", "invoice*"]),
    ("booking", &["book*", "appointment*", "schedul*", "reserv*", "visit*"]),
    ("cancel", &["cancel*", "call off"]),
    ("parking", &["park*", "car", "garage"]),
    ("insurance", &["insur*", "coverage", "covered", "plan", "plans"]),
    ("contact", &["phone", "contact*", "email", "telephone"]),
    ("delivery", &["deliver*", "shipping", "ship"]),
    ("weekend", &["saturday*", "sunday*", "weekend*", "holiday*"]),
];
